//! Messages that are left for a user.

use std::time::Duration;

use sidetone_testkit::phone::Phone;

use super::operations::ended_by_far_end;
use super::phones::{call, eventually};
use super::process::Installation;

/// A number at which messages are left for 1002.
pub const SEED: &str = "[[seed.tenants.numbers]]\nnumber = \"9302\"\nvoicemail = \"user1002\"\n";

/// The ids of what 1002 has, oldest first as listed.
pub fn messages(installation: &Installation) -> Vec<String> {
    let messages = installation.json(&["voicemail", "list", "user1002"]);
    let messages = messages.as_array().unwrap().iter();
    messages.map(|message| message["message_id"].as_str().unwrap().to_owned()).collect()
}

/// 1001 leaves 1002 a message of some seconds.
pub async fn leave_message(installation: &Installation, ada: &Phone) {
    let before = messages(installation).len();
    let at_ada = call(installation, ada, "9302").await;
    eventually(installation, "it is the only call", || installation.calls().len() == 1).await;
    let this = installation.calls().remove(0);
    eventually(installation, "the message begins", || {
        let shown = installation.json(&["calls", "show", &this]);
        shown["recordings"][0]["state"] == "RECORDING_STATE_RUNNING"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    at_ada.media().dial("#");
    ended_by_far_end(&at_ada).await;
    eventually(installation, "the message is there", || messages(installation).len() == before + 1).await;
}
