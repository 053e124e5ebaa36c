//! Prompts are encoded for all who hear them.
//!
//! G.711 of a prompt is made when it is loaded. Of the codecs whose encoders remember what went before, whoever hears it first uses
//! its own encoder; beside that all of the prompt is encoded, once, and whoever begins to hear it later in the same form is sent those packets.

use std::sync::Arc;

use super::play::Audience;
use super::{Control, Engine, LegEntry};
use crate::prompts::{Form, Prompt};
use crate::worker::playing::Playing;

/// Prompts that are encoded at a time: beside it the workers need the processors.
pub(super) const ENCODING_MAX: usize = 1;

impl Engine {
    /// What is about to be played to one leg is encoded in its form for those who come later, unless it was.
    pub(super) fn encode_for_all(
        self: &Arc<Self>,
        control: &Control,
        audience: &Audience,
        playing: &Playing,
    ) {
        let Audience::Leg(leg) = audience else { return };
        let Some(form) = control.legs.get(leg).and_then(LegEntry::form) else { return };
        let is_new = |prompt: &Arc<Prompt>| control.prompts.keeps(prompt) && prompt.claim(form);
        let prompts: Vec<_> = playing.prompts().into_iter().filter(is_new).collect();
        if prompts.is_empty() {
            return;
        }
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            for prompt in prompts {
                let Ok(_turn) = engine.encoding.acquire().await else { return };
                engine.encode(prompt, form).await;
            }
        });
    }

    async fn encode(&self, prompt: Arc<Prompt>, form: Form) {
        let own = Arc::clone(&prompt);
        let Ok(bytes) = tokio::task::spawn_blocking(move || own.make(form)).await else { return };
        let mut control = self.control.lock().await;
        let held = control.prompts.grew(&prompt, bytes);
        self.telemetry.audio.prompt_cache_bytes.set(held as i64);
    }
}

impl LegEntry {
    /// In which form it is sent prompts.
    fn form(&self) -> Option<Form> {
        let plan = self.plan.as_ref()?;
        let adapted = self.adaptation.as_ref().zip(plan.opus());
        plan.form(adapted.map(|(adaptation, most)| adaptation.settings(most)))
    }
}
