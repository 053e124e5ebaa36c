//! Registrations through proxies, over several flows, and up to a tenant's limit.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::Phone;
use harness::{Rig, invite_to, within};
use sidetone_model::ids::TenantId;
use sidetone_model::party::Transport;
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::message::Response;

/// Registers with more in the Contact, and more header fields.
async fn registers(phone: &mut Phone, contact: &str, more: &str) -> Response {
    let (uri, to) = ("alpha.test", format!("<sip:{}@alpha.test>", phone.user));
    let call_id = format!("flow{}", phone.local.port());
    let with = |text: String| {
        let lines = text.split("\r\n").map(|line| match line.starts_with("Contact:") {
            true => format!("{line}{contact}"),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    };
    let first = with(phone.compose("REGISTER", uri, &to, &call_id, more, ""));
    phone.send(first).await;
    let challenge = phone.last().await;
    assert_eq!(challenge.status().code(), 401);
    let authorization = phone.authorization(&challenge, "REGISTER", uri);
    let second = with(phone.compose("REGISTER", uri, &to, &call_id, &format!("{authorization}{more}"), ""));
    phone.send(second).await;
    phone.last().await
}

#[tokio::test]
async fn calls_go_back_by_the_path_of_the_registration() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1002", "pw-of-ben").await;
    let path = "Path: <sip:edge.test;lr>, <sip:inner.test;lr;ob>\r\nSupported: path\r\n";
    let answer = registers(&mut phone, ";q=0.25", path).await;
    assert_eq!(answer.status().code(), 200);
    assert_eq!(answer.header("Path").unwrap(), "<sip:edge.test;lr>, <sip:inner.test;lr;ob>");
    let kept = rig.bindings("alpha", "ben").await.remove(0);
    assert_eq!(kept.q_thousandths, 250);
    owner.calls(3, invite_to("1002", kept.binding)).await;
    let invite = phone.request().await;
    assert_eq!(invite.headers_named("Route"), ["<sip:edge.test;lr>", "<sip:inner.test;lr;ob>"]);
    assert_eq!(invite.uri().user(), "1002", "the phone's own address is where it is for");
}

#[tokio::test]
async fn a_flow_that_closes_takes_its_registration_along_and_no_other() {
    let rig = Rig::start().await;
    let mut first = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    let mut second = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    let contact = |reg_id: u32| format!(";+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}");
    for (phone, reg_id) in [(&mut first, 1), (&mut second, 2)] {
        let answer = registers(phone, &contact(reg_id), "Supported: path, outbound\r\n").await;
        assert_eq!((answer.status().code(), answer.header("Require").as_deref()), (200, Some("outbound")));
        assert_eq!(answer.header("Flow-Timer").as_deref(), Some("120"), "how long it may be silent");
    }
    assert_eq!(rig.bindings("alpha", "ada").await.len(), 2);
    let (closed, stays) = (first.local, second.local);
    drop(first);
    within(async {
        loop {
            let left = rig.bindings("alpha", "ada").await;
            if left.iter().all(|kept| kept.binding.flow.remote != closed) {
                assert_eq!(left.len(), 1);
                assert_eq!((left[0].binding.flow.remote, left[0].reg_id), (stays, 2));
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_registers_no_more_contacts_than_it_may() {
    let rig = Rig::start().await;
    let tenant = rig.directory.tenant(&TenantId::new("alpha").unwrap()).await.unwrap().unwrap();
    rig.directory.put_tenant(pb::Tenant { registrations_max: 1, ..tenant }).await.unwrap();
    let mut ada = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(ada.register(600).await.1.status().code(), 200);
    let mut ben = Phone::udp(&rig, "1002", "pw-of-ben").await;
    assert_eq!(ben.register(600).await.1.status().code(), 503);
    let full = rig.telemetry.signalling.registrations.with_label_values(&["tenant_full"]);
    assert_eq!(full.get(), 1);
    // Who is there refreshes, and who goes makes room.
    assert_eq!(ada.register(600).await.1.status().code(), 200);
    assert_eq!(ada.register(0).await.1.status().code(), 200);
    assert_eq!(ben.register(600).await.1.status().code(), 200);
}
