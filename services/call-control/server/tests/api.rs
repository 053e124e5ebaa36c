//! What applications ask, and what they are told.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use futures_util::StreamExt as _;
use kit::{World, media, until};
use sidetone_call_control::Config;
use sidetone_model::ids::TenantId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_proto::callcontrol::v1 as api;
use sidetone_proto::callcontrol::v1::call_control_server::CallControl as _;
use sidetone_proto::callcontrol::v1::command_response::Subject;
use sidetone_proto::events::v1 as events;
use sidetone_proto::events::v1::events_server::Events as _;
use sidetone_runtime::Caller;
use tonic::{Code, Request};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

fn place(key: &str, from: &str, to: &str) -> Request<api::PlaceCallRequest> {
    Request::new(api::PlaceCallRequest {
        tenant: "demo".into(),
        idempotency_key: key.into(),
        from: from.into(),
        to: to.into(),
    })
}

fn hang_up(key: &str, call: &str) -> Request<api::HangUpRequest> {
    Request::new(api::HangUpRequest {
        tenant: "demo".into(),
        idempotency_key: key.into(),
        subject: Some(api::hang_up_request::Subject::CallId(call.into())),
    })
}

#[tokio::test]
async fn a_call_is_placed_once_and_hung_up() {
    let mut world = World::new(1).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    let placed = world.control.place_call(place("k1", "bob", "600")).await.unwrap().into_inner();
    let Some(Subject::CallId(call)) = placed.subject.clone() else { panic!("{placed:?}") };
    let again = world.control.place_call(place("k1", "bob", "600")).await.unwrap().into_inner();
    assert_eq!(again, placed);
    let reused = world.control.place_call(place("k1", "bob", "700")).await.unwrap_err();
    assert_eq!(reused.code(), Code::AlreadyExists);
    let leg = phone.invite().await;
    phone.signal(leg, LegSignalKind::Answered { media: Some(media()) }).await;
    until("the echo", async || world.nodes[0].asked().contains(&format!("connect {leg} echo")).then_some(()))
        .await;
    world.control.hang_up(hang_up("k2", &call)).await.unwrap();
    assert_eq!(phone.end(leg).await, Cause::Application);
    phone.bye(leg).await;
    world.no_calls().await;
    let get = api::GetCallRequest { tenant: "demo".into(), call_id: call };
    let ended = world.control.get_call(Request::new(get)).await.unwrap().into_inner();
    assert!(ended.termination.is_some(), "an ended call can still be looked up");
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let code =
        |result: Result<tonic::Response<api::CommandResponse>, tonic::Status>| result.unwrap_err().code();
    let control = world.control.clone();
    assert_eq!(code(control.place_call(place("", "bob", "600")).await), Code::InvalidArgument);
    assert_eq!(code(control.place_call(place("a", "600", "600")).await), Code::InvalidArgument, "not a user");
    assert_eq!(code(control.place_call(place("a", "bob", "999")).await), Code::NotFound);
    assert_eq!(
        code(control.place_call(place("a", "bob", "600")).await),
        Code::FailedPrecondition,
        "unregistered"
    );
    assert_eq!(code(control.hang_up(hang_up("b", NOBODY)).await), Code::NotFound);
    assert_eq!(code(control.hang_up(hang_up("b", "nonsense")).await), Code::InvalidArgument);
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let answer = api::AnswerLegRequest {
        tenant: "demo".into(),
        idempotency_key: "c".into(),
        leg_id: leg.to_string(),
        to: "600".into(),
    };
    assert_eq!(
        code(control.answer_leg(Request::new(answer)).await),
        Code::FailedPrecondition,
        "it does not wait"
    );
    let record = api::StartRecordingRequest {
        tenant: "demo".into(),
        idempotency_key: "d".into(),
        call_id: NOBODY.into(),
        stereo: false,
    };
    assert_eq!(code(control.start_recording(Request::new(record)).await), Code::NotFound);
    world.lifecycle.drain();
    assert_eq!(code(control.place_call(place("e", "bob", "600")).await), Code::Unavailable, "draining");
}

#[tokio::test]
async fn a_waiting_caller_is_answered() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "800").await;
    phone
        .command(|command| matches!(command.kind, sidetone_model::command::LegCommandKind::Ring { .. }))
        .await;
    let answer = api::AnswerLegRequest {
        tenant: "demo".into(),
        idempotency_key: "a".into(),
        leg_id: leg.to_string(),
        to: "600".into(),
    };
    world.control.answer_leg(Request::new(answer)).await.unwrap();
    phone.answer(leg).await;
}

#[tokio::test]
async fn a_recording_is_started_and_ends_once() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let call = world.calls("demo").await[0].call_id.clone();
    let start = api::StartRecordingRequest {
        tenant: "demo".into(),
        idempotency_key: "start".into(),
        call_id: call.clone(),
        stereo: true,
    };
    let started = world.control.start_recording(Request::new(start)).await.unwrap().into_inner();
    let Some(Subject::RecordingId(id)) = started.subject else { panic!("{started:?}") };
    let stop = api::StopRecordingRequest {
        tenant: "demo".into(),
        idempotency_key: "stop".into(),
        recording_id: id.clone(),
    };
    world.control.stop_recording(Request::new(stop)).await.unwrap();
    until("the recording to be acknowledged", async || {
        world.nodes[0].asked().contains(&format!("ack {id}")).then_some(())
    })
    .await;
    let get = api::GetCallRequest { tenant: "demo".into(), call_id: call };
    let call = world.control.get_call(Request::new(get)).await.unwrap().into_inner();
    let recording = &call.recordings[0];
    assert_eq!((recording.state(), recording.file.as_str()), (api::RecordingState::Finished, "demo/f.wav"));
}

#[tokio::test]
async fn the_recording_of_a_lost_node_is_finished_by_another() {
    let mut world = World::new(2).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let call = world.calls("demo").await[0].call_id.clone();
    let start = api::StartRecordingRequest {
        tenant: "demo".into(),
        idempotency_key: "start".into(),
        call_id: call.clone(),
        stereo: false,
    };
    let started = world.control.start_recording(Request::new(start)).await.unwrap().into_inner();
    let Some(Subject::RecordingId(id)) = started.subject else { panic!("{started:?}") };
    let asked = |node: usize, what: &str| world.nodes[node].asked().contains(&format!("{what} {id}"));
    until("the recording to begin", async || (0..2).any(|node| asked(node, "record")).then_some(())).await;
    let lost = usize::from(asked(1, "record"));
    world.nodes[lost].vanish();
    until("the other node to be asked and acknowledged", async || {
        (asked(1 - lost, "finish") && asked(1 - lost, "ack")).then_some(())
    })
    .await;
    let get = api::GetCallRequest { tenant: "demo".into(), call_id: call };
    let call = world.control.get_call(Request::new(get)).await.unwrap().into_inner();
    let recording = &call.recordings[0];
    assert_eq!((recording.state(), recording.duration_ms), (api::RecordingState::Finished, 700));
}

#[tokio::test]
async fn a_token_is_good_for_its_own_tenant() {
    let world = World::new(1).await;
    let as_other = |tenant: &str| {
        let mut request = Request::new(api::ListCallsRequest { tenant: tenant.into(), ..Default::default() });
        request.extensions_mut().insert(Caller::Tenant(TenantId::new("other").unwrap()));
        request
    };
    assert!(world.control.list_calls(as_other("other")).await.is_ok());
    assert_eq!(world.control.list_calls(as_other("demo")).await.unwrap_err().code(), Code::PermissionDenied);
    let mut nodes = Request::new(api::ListNodesRequest {});
    nodes.extensions_mut().insert(Caller::Tenant(TenantId::new("other").unwrap()));
    assert_eq!(world.control.list_nodes(nodes).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn events_go_on_where_a_watcher_stopped() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let watch = async |world: &World, cursor: &str| {
        let request = events::WatchRequest { tenant: "demo".into(), cursor: cursor.into(), from_now: false };
        world.control.watch(Request::new(request)).await.unwrap().into_inner()
    };
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    phone.bye(leg).await;
    phone.acked(leg, 2).await;
    // Of another tenant, of which nothing is to be seen.
    let other = phone.call(&mut world.ids, "other", "600").await;
    phone.answer(other).await;
    let all: Vec<_> = watch(&world, "").await.take(7).map(|fact| fact.unwrap()).collect().await;
    assert!(matches!(all[6].fact.as_ref().unwrap().kind, Some(events::fact::Kind::CallEnded(_))), "{all:?}");
    world.restart().await;
    for (place, fact) in all.iter().enumerate().take(6) {
        let rest: Vec<_> =
            watch(&world, &fact.cursor).await.take(6 - place).map(|fact| fact.unwrap()).collect().await;
        assert_eq!(rest, all[place + 1..]);
    }
    let mut coming = watch(&world, &all[6].cursor).await;
    let mut phone = phone.reattach(&world.control, &[]).await;
    phone.call(&mut world.ids, "demo", "600").await;
    let next = tokio::time::timeout(kit::DEADLINE, coming.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(next.fact.unwrap().kind, Some(events::fact::Kind::CallCreated(_))));
}

#[tokio::test]
async fn records_are_written_to_a_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { shards: 2, cdr_dir: Some(folder.path().to_owned()), ..Config::default() };
    let mut world = World::with(1, config).await;
    let mut phone = world.attach().await;
    let lines = || -> Vec<String> {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files
            .flat_map(|file| {
                std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    };
    for calls in 1..=2 {
        let leg = phone.call(&mut world.ids, "demo", "600").await;
        phone.answer(leg).await;
        phone.bye(leg).await;
        until("two records a call", async || (lines().len() == 2 * calls).then_some(())).await;
        let request = events::WatchRequest { tenant: "demo".into(), ..Default::default() };
        let facts = world.control.watch(Request::new(request)).await.unwrap().into_inner();
        let last =
            facts.take(7 * calls).map(|fact| fact.unwrap().cursor).collect::<Vec<_>>().await.pop().unwrap();
        until("the cursor to be kept", async || {
            use sidetone_store::Store as _;
            let kept = world.store.list("cdr-cursors/").await.unwrap();
            kept.iter().any(|entry| entry.value == last.as_bytes()).then_some(())
        })
        .await;
        world.restart().await;
        phone = phone.reattach(&world.control, &[]).await;
    }
    for line in lines() {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["tenant"], "demo");
    }
}

#[tokio::test]
async fn signalling_attaches_over_the_network() {
    use sidetone_proto::signalling::v1 as sig;
    use sidetone_proto::signalling::v1::leg_streams_client::LegStreamsClient;
    use sidetone_proto::signalling::v1::leg_streams_server::LegStreamsServer;
    let mut world = World::new(1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(LegStreamsServer::new(world.control.clone()))
        .serve_with_incoming_shutdown(
            tokio_stream::wrappers::TcpListenerStream::new(listener),
            world.lifecycle.stopping().cancelled_owned(),
        );
    let server = tokio::spawn(server);
    let (to_owner, mut messages) = tokio::sync::mpsc::channel::<sidetone_model::signal::ReplicaMessage>(16);
    let (from_owner_in, from_owner) = tokio::sync::mpsc::channel(16);
    let link = sidetone_runtime::link::ReplicaLink { to_owner, from_owner };
    let mut client = LegStreamsClient::connect(format!("http://{address}")).await.unwrap();
    tokio::spawn(async move {
        let (sender, receiver) = tokio::sync::mpsc::channel::<sig::ReplicaMessage>(16);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                sender.send((&message).into()).await.unwrap();
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut answers = client.attach(stream).await.unwrap().into_inner();
        while let Some(Ok(answer)) = answers.next().await {
            if from_owner_in.send(answer.try_into().unwrap()).await.is_err() {
                return;
            }
        }
    });
    let boot = world.ids.make(kit::now());
    let mut phone = kit::Replica::attach("s9", boot, link, &[]).await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    phone.bye(leg).await;
    phone.acked(leg, 2).await;
    world.no_calls().await;
    world.stop().await;
    drop(phone);
    tokio::time::timeout(kit::DEADLINE, server).await.unwrap().unwrap().unwrap();
}

/// Whoever asked has been told that it was not in time, and may have done something else instead.
#[tokio::test]
async fn a_command_whose_time_is_over_when_its_turn_comes_is_not_carried_out() {
    let mut world = World::new(1).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    let mut request = place("k1", "bob", "600");
    request.set_timeout(std::time::Duration::ZERO);
    let late = world.control.place_call(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    until("its turn", async || (world.telemetry.call_control.commands_expired.get() == 1).then_some(()))
        .await;
    assert!(world.calls("demo").await.is_empty());
    let mut request = Request::new(api::ExecuteRequest {
        tenant: "demo".into(),
        idempotency_key: "k2".into(),
        command: Some(api::execute_request::Command::Place(api::Place {
            from: "bob".into(),
            to: "600".into(),
            ..Default::default()
        })),
    });
    request.set_timeout(std::time::Duration::ZERO);
    let late = world.control.execute(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    until("its turn", async || (world.telemetry.call_control.commands_expired.get() == 2).then_some(()))
        .await;
    // Asked again under the same key it is carried out, now.
    world.control.place_call(place("k1", "bob", "600")).await.unwrap();
    phone.invite().await;
    assert_eq!(world.calls("demo").await.len(), 1);
}
