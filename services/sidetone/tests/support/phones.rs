//! The test kit's phones against an installation.

use std::time::{Duration, Instant};

use sidetone_testkit::phone::{Call, Incoming, Phone, PhoneConfig, PhoneError};

use super::process::Installation;

/// A phone of the tenant, registered, that answers by itself.
pub async fn registered(installation: &Installation, number: &str, tone_hz: f32) -> Phone {
    let phone = unregistered(installation, number, tone_hz).await;
    phone.register().await.unwrap_or_else(|error| panic!("{number}: {error}\n{}", installation.logs()));
    phone
}

/// A phone of the tenant, registered, that rings until its user, or somebody from afar, does something.
pub async fn ringing(installation: &Installation, number: &str, tone_hz: f32, remote_control: bool) -> Phone {
    let password = format!("secret-{number}");
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", number, &password).with_tone(tone_hz);
    let phone = Phone::start(PhoneConfig { remote_control, ..config }).await.unwrap();
    phone.register().await.unwrap_or_else(|error| panic!("{number}: {error}\n{}", installation.logs()));
    phone
}

/// A phone of the tenant that has not registered.
pub async fn unregistered(installation: &Installation, number: &str, tone_hz: f32) -> Phone {
    let password = format!("secret-{number}");
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", number, &password).with_tone(tone_hz);
    Phone::start(PhoneConfig { auto_answer: true, ..config }).await.unwrap()
}

/// Calls, and tells everything when that fails.
pub async fn call(installation: &Installation, phone: &Phone, number: &str) -> Call {
    call_again(phone, number).await.unwrap_or_else(|error| {
        panic!("{number}: {error}\n{}\n{}", phone.trace().join("\n"), installation.logs())
    })
}

/// Calls. On a busy machine a media node may just be missed: as its user would, the phone tries again when it is told that
/// there is no room now.
pub async fn call_again(phone: &Phone, number: &str) -> Result<Call, PhoneError> {
    call_with_again(phone, number, &[]).await
}

/// The same with more header fields in the INVITE.
pub async fn call_with_again(
    phone: &Phone,
    number: &str,
    headers: &[(&str, &str)],
) -> Result<Call, PhoneError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match phone.call_with(number, headers).await {
            Err(PhoneError::Refused { status: 503, .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            other => return other,
        }
    }
}

/// The next call that rings at a phone: a test whose call was lost on its way ends, and does not wait for ever.
pub async fn incoming(phone: &Phone) -> Incoming {
    let ringing = tokio::time::timeout(Duration::from_secs(60), phone.next_incoming()).await;
    ringing.expect("it rings").expect("the phone is there")
}

/// Waits until a call hears a tone.
pub async fn hears(installation: &Installation, call: &Call, tone_hz: f32) {
    eventually(installation, &format!("a tone of {tone_hz} Hz"), || call.ear().hears(tone_hz)).await;
}

/// Waits until something holds.
pub async fn eventually(installation: &Installation, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if Instant::now() > deadline {
            let calls = installation.command(&["calls", "--output", "json"]).unwrap_or_default();
            let cdrs = installation.command(&["cdrs", "--output", "csv"]).unwrap_or_default();
            panic!("never: {what}\n{calls}\n{cdrs}\n{}", installation.logs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
