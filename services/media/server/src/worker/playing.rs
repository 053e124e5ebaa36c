//! A prompt on its way to a leg or a mix.

use std::sync::Arc;

use sidetone_dsp::Law;

use crate::playout::FRAME;
use crate::prompts::Prompt;

/// One playback. The prompt is shared by all who hear it.
#[derive(Debug)]
pub(crate) struct Playing {
    /// The playback, by its number in this process.
    pub(crate) playback: u64,
    pub(crate) prompt: Arc<Prompt>,
    /// Rounds left; none is for ever.
    pub(crate) rounds: Option<u32>,
    /// The next frame.
    pub(crate) frame: usize,
    /// Ended by command; it leaves on the next tick.
    pub(crate) stopped: bool,
}

impl Playing {
    pub(crate) fn is_over(&self) -> bool {
        self.stopped || self.rounds == Some(0) || self.prompt.frames() == 0
    }

    /// The present 20 ms in one law.
    pub(crate) fn encoded(&self, law: Law) -> &[u8; FRAME] {
        self.prompt.encoded(law, self.frame)
    }

    /// The present 20 ms.
    pub(crate) fn linear(&self) -> &[i16; FRAME] {
        self.prompt.linear(self.frame)
    }

    pub(crate) fn advance(&mut self) {
        self.frame += 1;
        if self.frame >= self.prompt.frames() {
            self.frame = 0;
            self.rounds = self.rounds.map(|rounds| rounds.saturating_sub(1));
        }
    }
}
