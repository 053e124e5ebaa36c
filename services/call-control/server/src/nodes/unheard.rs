//! Prompts that nodes do not play: told in the log by their names, because whoever calls hears no more than nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sidetone_call_core::MediaFailure;
use sidetone_model::classify::Class;
use sidetone_model::ids::NodeId;
use sidetone_model::media::Source;

/// What was told, and when.
#[derive(Debug, Default)]
pub(crate) struct Unheard(Mutex<HashMap<Box<str>, Instant>>);

/// After this time the same is told again.
const AGAIN: Duration = Duration::from_secs(60);
/// Names that are remembered; past them they are told no less, but all of them anew.
const NAMES_MAX: usize = 256;

impl Unheard {
    /// Of what cannot be played each prompt is told once a minute. URLs are not named: there may be a secret in them.
    pub(super) fn tell(&self, node: &NodeId, sources: &[Source], failure: &MediaFailure) {
        // A node that is away, or has no such leg any more, says nothing of the prompt.
        let of_the_sound = match failure.class {
            Class::NotFound => !failure.text.ends_with("leg"),
            class => matches!(class, Class::Invalid | Class::FailedPrecondition),
        };
        if !of_the_sound {
            return;
        }
        for source in sources {
            if let Source::Prompt(prompt) = source
                && self.is_news(prompt, Instant::now())
            {
                let why = &failure.text;
                tracing::warn!(%prompt, %node, %why, "a prompt cannot be played; see media.prompts_dir");
            }
        }
    }

    fn is_news(&self, prompt: &str, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(prompt).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return false;
        }
        if told.len() >= NAMES_MAX {
            told.clear();
        }
        told.insert(prompt.into(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_told_once_a_minute_and_its_names_are_bounded() {
        let (unheard, begin) = (Unheard::default(), Instant::now());
        assert!(unheard.is_news("a", begin) && unheard.is_news("b", begin));
        assert!(!unheard.is_news("a", begin + Duration::from_secs(59)));
        assert!(unheard.is_news("a", begin + Duration::from_secs(61)));
        for n in 0..2 * NAMES_MAX {
            assert!(unheard.is_news(&n.to_string(), begin));
            assert!(unheard.0.lock().unwrap().len() <= NAMES_MAX);
        }
    }
}
