//! Whether losses come alone or in bursts (RFC 3611, section 4.7.2 and appendix A.2).

/// Counts of one stream. Packets between two losses that are at least 16 apart belong to a gap, those closer together to a
/// burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bursts {
    /// Packets received since the last loss.
    since_loss: u32,
    /// Losses in the present burst; 1 is a loss alone.
    losses: u32,
    /// Transitions and stays of the appendix: received in a gap, lost in a gap, gap to burst, received in a burst, received and
    /// then lost in a burst, lost after a loss.
    c11: u32,
    c14: u32,
    c13: u32,
    c22: u32,
    c23: u32,
    c33: u32,
}

/// What the counts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BurstSummary {
    /// Share of packets lost within bursts, in 1/256.
    pub burst_density: u8,
    /// Share of packets lost within gaps, in 1/256.
    pub gap_density: u8,
    /// Mean length of a burst in ms; 0 without one.
    pub burst_ms: u16,
    /// Mean length of a gap in ms.
    pub gap_ms: u16,
}

/// So many packets without a loss end a burst.
pub(crate) const GAP_MIN: u32 = 16;

impl Bursts {
    /// A packet came.
    pub fn received(&mut self) {
        self.since_loss = self.since_loss.saturating_add(1);
    }

    /// So many packets in a row did not.
    pub fn lost(&mut self, packets: u32) {
        if packets == 0 {
            return;
        }
        if self.since_loss >= GAP_MIN {
            // What was before is over: a loss alone, or a burst; nothing before the first loss.
            match self.losses {
                0 => {}
                1 => self.c14 = self.c14.saturating_add(1),
                _ => self.c13 = self.c13.saturating_add(1),
            }
            self.losses = 1;
            self.c11 = self.c11.saturating_add(self.since_loss);
        } else {
            self.losses = self.losses.saturating_add(1);
            self.after_a_loss();
        }
        // Those behind the first follow a loss at once.
        self.losses = self.losses.saturating_add(packets - 1);
        self.c33 = self.c33.saturating_add(packets - 1);
        self.since_loss = 0;
    }

    fn after_a_loss(&mut self) {
        if self.since_loss == 0 {
            self.c33 = self.c33.saturating_add(1);
        } else {
            self.c23 = self.c23.saturating_add(1);
            self.c22 = self.c22.saturating_add(self.since_loss - 1);
        }
    }

    /// What it comes to with packets of `packet_ms`.
    pub fn summary(&self, packet_ms: u32) -> BurstSummary {
        let [c11, c14, c13, c22, c23, c33] =
            [self.c11.saturating_add(self.since_loss), self.c14, self.c13, self.c22, self.c23, self.c33]
                .map(f64::from);
        let ms = f64::from(packet_ms);
        let gap = c11 + c14 + c13;
        let gap_density = share(c14, c11 + c14);
        if self.c13 == 0 {
            return BurstSummary { gap_density, gap_ms: (gap * ms) as u16, ..BurstSummary::default() };
        }
        let (c31, c32) = (c13, c23);
        let total = gap + c22 + c23 + c31 + c32 + c33;
        let p32 = c32 / (c31 + c32 + c33);
        let p23 = if c22 + c23 < 1.0 { 1.0 } else { 1.0 - c22 / (c22 + c23) };
        let gap_ms = gap * ms / c13;
        BurstSummary {
            burst_density: share(p23, p23 + p32),
            gap_density,
            burst_ms: (total * ms / c13 - gap_ms) as u16,
            gap_ms: gap_ms as u16,
        }
    }

    /// All counts, for whoever goes on with the stream elsewhere.
    pub fn counts(&self) -> [u32; 8] {
        [self.since_loss, self.losses, self.c11, self.c14, self.c13, self.c22, self.c23, self.c33]
    }

    /// Goes on with the counts of elsewhere.
    pub fn resume([since_loss, losses, c11, c14, c13, c22, c23, c33]: [u32; 8]) -> Self {
        Self { since_loss, losses, c11, c14, c13, c22, c23, c33 }
    }
}

fn share(part: f64, whole: f64) -> u8 {
    if whole > 0.0 { (256.0 * part / whole).min(255.0) as u8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pattern: &[(u32, u32)]) -> Bursts {
        let mut bursts = Bursts::default();
        for (received, lost) in pattern {
            (0..*received).for_each(|_| bursts.received());
            bursts.lost(*lost);
        }
        bursts
    }

    #[test]
    fn without_losses_all_is_one_gap() {
        let summary = run(&[(500, 0)]).summary(20);
        assert_eq!(summary, BurstSummary { gap_ms: 10_000, ..BurstSummary::default() });
        assert_eq!(run(&[(5_000, 0)]).summary(20).gap_ms, u16::MAX, "more than can be said");
    }

    #[test]
    fn a_burst_is_told_from_losses_that_come_alone() {
        let alone = run(&[(100, 1), (100, 1), (100, 1), (100, 0)]).summary(20);
        assert_eq!((alone.burst_density, alone.burst_ms), (0, 0), "{alone:?}");
        // 2 of some 400 in the gap; the first loss is where the first gap ends.
        assert!((1..=2).contains(&alone.gap_density), "{alone:?}");
        // A hundred packets, then ten of which every second is lost, over and over.
        let mut pattern = Vec::new();
        for _ in 0..10 {
            pattern.extend([(100, 1), (1, 1), (1, 1), (1, 1), (1, 1)]);
        }
        let bursts = run(&pattern).summary(20);
        assert!((120..=150).contains(&bursts.burst_density), "half of it is lost: {bursts:?}");
        assert!(
            (150..=300).contains(&bursts.burst_ms) && (1_900..=2_300).contains(&bursts.gap_ms),
            "{bursts:?}"
        );
    }

    #[test]
    fn losses_in_a_row_count_as_if_they_came_one_by_one() {
        let mut one_by_one = run(&[(40, 0)]);
        (0..5).for_each(|_| one_by_one.lost(1));
        assert_eq!(run(&[(40, 5)]), one_by_one);
        assert_eq!(Bursts::resume(one_by_one.counts()), one_by_one);
    }
}
