//! A voicemail is listened to from another phone by its PIN, and greets with what its user wants.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use support::operations::ended_by_far_end;
use support::phones::{call, call_again, eventually, hears, registered};
use support::process::Installation;
use support::voicemail::{SEED, leave_message};

/// 9302 leads to the voicemail of 1002, and at 9303 it is listened to.
fn installation() -> Installation {
    installation_with("")
}

/// The same with more sections.
fn installation_with(sections: &str) -> Installation {
    let listened = "[[seed.tenants.numbers]]\nnumber = \"9303\"\nmailbox = \"user1002\"\n";
    Installation::one_process_with("", &format!("{SEED}{listened}"), sections)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_phone_is_let_in_by_the_pin_and_by_nothing_else() {
    let installation = installation();
    let ada = registered(&installation, "1001", 700.0).await;
    leave_message(&installation, &ada).await;
    assert!(call_again(&ada, "9303").await.is_err(), "it has no PIN");
    let short = installation
        .command_with_input(&["voicemail", "pin", "user1002", "--tenant", "acme"], "12\n")
        .unwrap_err();
    assert!(short.contains("4 to 10 digits"), "{short}");
    let told = installation
        .command_with_input(&["voicemail", "pin", "user1002", "--tenant", "acme"], "2468\n")
        .unwrap();
    assert!(told.contains("a PIN") && !told.contains("2468"), "{told}");
    let listening = call(&installation, &ada, "9303").await;
    assert!(listening.media().dial("2468#"));
    hears(&installation, &listening, 700.0).await;
    ended_by_far_end(&listening).await;
    eventually(&installation, "the message was heard", || {
        installation.json(&["voicemail", "list", "user1002"])[0]["heard"] == true
    })
    .await;
    assert!(!installation.logs().contains("2468"), "a PIN is logged");
    installation.command(&["voicemail", "pin", "user1002", "--remove"]).unwrap();
    assert!(call_again(&ada, "9303").await.is_err(), "it has none any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voicemail_that_takes_no_pin_any_more_takes_the_one_that_an_operator_sets() {
    let installation = installation_with("[call_control]\nmailbox_pin_tries = 1\n");
    let sets = |pin: &str| {
        let set = ["voicemail", "pin", "user1002", "--tenant", "acme"];
        installation.command_with_input(&set, &format!("{pin}\n")).unwrap();
    };
    sets("2468");
    let ada = registered(&installation, "1001", 700.0).await;
    leave_message(&installation, &ada).await;
    // The right one helps no more.
    for pin in ["1111#", "2468#"] {
        let shut_out = call(&installation, &ada, "9303").await;
        shut_out.media().dial(pin);
        ended_by_far_end(&shut_out).await;
        assert!(!shut_out.ear().hears(700.0), "{pin}");
    }
    sets("135790");
    let listening = call(&installation, &ada, "9303").await;
    assert!(listening.media().dial("135790#"));
    hears(&installation, &listening, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hear_the_greeting_of_whom_they_call() {
    let installation = installation();
    let file = installation.folder.path().join("greeting.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&file, spec).unwrap();
    for n in 0..24_000 {
        let phase = f64::from(n) * 1200.0 * std::f64::consts::TAU / 8000.0;
        wav.write_sample((phase.sin() * 9000.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
    let greeting = file.to_str().unwrap();
    installation.command(&["voicemail", "greeting", "user1002", greeting]).unwrap();
    let ada = registered(&installation, "1001", 440.0).await;
    let greeted = call(&installation, &ada, "9302").await;
    hears(&installation, &greeted, 1200.0).await;
    let shown = installation.json(&["voicemail", "greeting", "user1002"]);
    assert_eq!(shown["greeting_bytes"], 48_044, "{shown}");
    let gone = installation.command(&["voicemail", "greeting", "user1002", "--remove"]).unwrap();
    assert!(gone.contains("the installation's greeting"), "{gone}");
}
