//! An Opus phone reports losses, and what it is sent follows.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::support;

use std::net::SocketAddr;
use std::time::Duration;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::types::v1 as types;
use support::coded_phone;
use support::*;

/// A receiver report (RFC 3550, section 6.4.2) that a share of what `ssrc` sent was lost, in 1/256.
fn report(ssrc: u32, fraction_lost: u8) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    packet.extend(4_711u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([fraction_lost, 0, 0, 0]);
    packet.extend([0; 16]);
    packet
}

/// Reports a loss each second until the mean size of the last fifty packets is right.
async fn reports_until(phone: &Phone, fraction_lost: u8, what: &str, right: impl Fn(usize) -> bool) {
    let rtcp = SocketAddr::new(phone.node.ip(), phone.node.port() + 1);
    let mut reported = std::time::Instant::now();
    until(what, async || {
        let heard = phone.hear(10).await;
        if reported.elapsed() > Duration::from_millis(1_050) {
            reported = std::time::Instant::now();
            phone.socket.send_to(&report(heard[0].ssrc, fraction_lost), rtcp).await.unwrap();
        }
        let all = phone.heard.lock().unwrap();
        let last = &all[all.len().saturating_sub(50)..];
        let mean = last.iter().map(|packet| packet.payload.len()).sum::<usize>() / last.len();
        (last.len() == 50 && right(mean)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_make_it_send_less() {
    let node = node_with(|config| {
        config.opus.bitrate_bps = 40_000;
        config.opus.loss_percent = 0;
    })
    .await;
    let formats =
        vec![types::Format { parameters: "useinbandfec=1".into(), ..coded_phone::format(Codec::Opus) }];
    let phone = Phone::quiet(&node, 1, Law::Mu, formats, 20).await;
    let speaker = Phone::call(&node, 2, Law::A, 700.0, 20).await;
    node.connect(&phone.leg, To::PeerLegId(speaker.leg.clone())).await;
    let count = |change: &str| node.telemetry.media.opus_adapted.with_label_values(&[change]).get();
    reports_until(&phone, 0, "packets of 40 kbit/s", |bytes| bytes > 75).await;
    assert_eq!(count("more_loss") + count("lower_rate"), 0, "no loss, no change");
    reports_until(&phone, 80, "packets of 16 kbit/s", |bytes| (30..52).contains(&bytes)).await;
    assert!(count("lower_rate") >= 1);
    assert_continuous(&phone.heard.lock().unwrap());
}
