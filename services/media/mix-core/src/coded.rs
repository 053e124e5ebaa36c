//! One linear frame in up to two G.711 forms, each made at most once per tick.

use sidetone_dsp::{Law, g711};

/// The encoded forms of a frame that many hear.
#[derive(Debug)]
pub(crate) struct Coded {
    forms: [Box<[u8]>; 2],
    made: [bool; 2],
}

impl Coded {
    pub(crate) fn new(samples: usize) -> Self {
        let form = || vec![0; samples].into_boxed_slice();
        Self { forms: [form(), form()], made: [false; 2] }
    }

    /// The frame has changed.
    pub(crate) fn forget(&mut self) {
        self.made = [false; 2];
    }

    /// The form of `law`, encoded now if it was not yet.
    pub(crate) fn get(&mut self, law: Law, linear: &[i16]) -> &[u8] {
        let index = usize::from(law == Law::A);
        if !self.made[index] {
            g711::encode(law, linear, &mut self.forms[index]);
            self.made[index] = true;
        }
        &self.forms[index]
    }
}
