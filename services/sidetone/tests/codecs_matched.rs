//! Phones that could speak one codec do so, and what they say is passed on as it is: judged by what their descriptions say, by their
//! ears, and by what the records of the call say of the encodings that came.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_testkit::phone::{Call, Phone, PhoneConfig};
use support::baresip::{self, Baresip, Setup};
use support::operations::{does, leg, taken};
use support::phones::{call, eventually, hears};
use support::process::Installation;

/// A phone with these codecs that answers by itself.
async fn phone(installation: &Installation, number: &str, tone_hz: f32, codecs: &[Law]) -> Phone {
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", number, &format!("secret-{number}"));
    let codecs = codecs.iter().copied().map(Codec::G711).collect();
    let config = PhoneConfig { auto_answer: true, codecs, ..config.with_tone(tone_hz) };
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap_or_else(|error| panic!("{number}: {error}\n{}", installation.logs()));
    phone
}

fn spoken_to(call: &Call) -> Option<Law> {
    match call.remote()?.format.codec {
        Codec::G711(law) => Some(law),
        _ => None,
    }
}

/// The encodings that came from the legs of ended calls.
fn encodings(installation: &Installation) -> Vec<String> {
    let records = installation.json(&["cdrs"]);
    let measured = records.as_array().unwrap().iter().filter(|record| record["kind"] == "KIND_QUALITY");
    measured.map(|record| record["encoding"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_answered_alike_and_offered_it_when_it_is_passed_on() {
    let installation = Installation::one_process();
    let ada = phone(&installation, "1001", 440.0, &[Law::Mu, Law::A]).await;
    let ben = phone(&installation, "1002", 700.0, &[Law::A]).await;
    let cid = phone(&installation, "1003", 1100.0, &[Law::Mu]).await;
    let at_ada = call(&installation, &ada, "1002").await;
    let at_ben = taken(&installation, &ben).await;
    assert_eq!(spoken_to(&at_ada), Some(Law::A), "the first answer has the codec of whom it reaches");
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    // Whom the call is passed on to speaks the other one alone.
    does(&installation, &["transfer", &leg(&installation, "1002"), "1003"]);
    let at_cid = taken(&installation, &cid).await;
    eventually(&installation, "an offer with the other codec", || spoken_to(&at_ada) == Some(Law::Mu)).await;
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
    at_ada.hang_up().await.unwrap();
    eventually(&installation, "records of all three", || encodings(&installation).len() == 3).await;
    let mut came = encodings(&installation);
    came.sort();
    assert_eq!(came, ["PCMA", "PCMU", "PCMU"], "what the caller says is mu-law in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_each_speaks_what_it_chose() {
    let installation = Installation::with_call_control("match_codecs = \"off\"");
    let ada = phone(&installation, "1001", 440.0, &[Law::Mu, Law::A]).await;
    let ben = phone(&installation, "1002", 700.0, &[Law::A]).await;
    let at_ada = call(&installation, &ada, "1002").await;
    let at_ben = taken(&installation, &ben).await;
    assert_eq!(spoken_to(&at_ada), Some(Law::Mu));
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
}

#[test]
fn a_real_phone_that_would_like_opus_is_answered_in_a_law() {
    if !baresip::is_installed() {
        eprintln!("SKIPPED: baresip is not installed (apt install baresip-core)");
        return;
    }
    let installation = Installation::one_process();
    let start = |number: &str, codec: &str, tone_hz: u32| {
        let (password, server) = (format!("secret-{number}"), installation.sip.to_string());
        let (password, server) = (password.as_str(), server.as_str());
        let setup = Setup { encryption: "", number, password, transport: "udp", server, codec, tone_hz };
        let phone = Baresip::start(&setup);
        phone.wait_until_registered();
        phone
    };
    let ada = start("1001", "opus,PCMU,PCMA", 440);
    let ben = start("1002", "PCMA", 700);
    ada.dial(&format!("sip:1002@{}", installation.sip));
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ben.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
    installation.wait_until("how both sounded", || encodings(&installation).len() == 2);
    assert_eq!(encodings(&installation), ["PCMA", "PCMA"]);
}
