//! How a leg is likely to be heard: the E-model (ITU-T G.107) with its default values, as far as RTP shows what it needs.

/// What a codec costs by itself and how well it bears losses (ITU-T G.113, appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecImpairment {
    /// Equipment impairment factor Ie, 0 to 95.
    pub equipment: f32,
    /// Packet-loss robustness Bpl, above 0.
    pub robustness: f32,
}

/// What a stream suffers on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// From mouth to ear, in ms.
    pub one_way_delay_ms: f32,
    /// Share of packets lost or too late, 0 to 1.
    pub loss: f32,
    /// The codec.
    pub codec: CodecImpairment,
}

impl CodecImpairment {
    /// G.711 with concealment of the class of its Appendix I.
    pub const G711: Self = Self { equipment: 0.0, robustness: 25.1 };
    /// GSM 06.10 full rate.
    pub const GSM: Self = Self { equipment: 20.0, robustness: 10.0 };
}

impl Conditions {
    /// The transmission rating R, 0 to 93.2: the delay impairment Id (without echo) and the effective equipment impairment
    /// for random losses (G.107, 7.4 and 7.5) taken from what an undisturbed connection has.
    pub fn rating(&self) -> f32 {
        let delay = self.one_way_delay_ms.max(0.0);
        let delay_impairment = 0.024 * delay + 0.11 * (delay - DELAY_KNEE_MS).max(0.0);
        let percent = self.loss.clamp(0.0, 1.0) * 100.0;
        let CodecImpairment { equipment, robustness } = self.codec;
        let loss_impairment = equipment + (95.0 - equipment) * percent / (percent + robustness.max(0.1));
        (UNDISTURBED - delay_impairment - loss_impairment).max(0.0)
    }

    /// The mean opinion score for that rating, 1 to 4.5 (G.107, annex B).
    pub fn mean_opinion(&self) -> f32 {
        mean_opinion(self.rating())
    }
}

fn mean_opinion(rating: f32) -> f32 {
    match rating {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

/// R of a connection with every parameter at its default.
const UNDISTURBED: f32 = 93.2;
/// From here on a delay hinders a conversation.
const DELAY_KNEE_MS: f32 = 177.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_are_those_of_annex_b() {
        for (rating, opinion) in
            [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58), (93.2, 4.41)]
        {
            assert!((mean_opinion(rating) - opinion).abs() < 0.01, "{rating}: {}", mean_opinion(rating));
        }
        assert_eq!((mean_opinion(-5.0), mean_opinion(120.0)), (1.0, 4.5));
    }

    #[test]
    fn each_fault_costs_what_the_model_says_and_the_worst_is_one() {
        let good = Conditions { one_way_delay_ms: 0.0, loss: 0.0, codec: CodecImpairment::G711 };
        assert!((good.rating() - 93.2).abs() < 0.01);
        // 1 % of loss: 95 * 1 / (1 + 25.1) = 3.64; 150 ms: 3.6; 400 ms: 9.6 + 24.5.
        let lossy = Conditions { loss: 0.01, ..good };
        assert!((lossy.rating() - 89.56).abs() < 0.01, "{}", lossy.rating());
        let slow = Conditions { one_way_delay_ms: 150.0, ..good };
        assert!((slow.rating() - 89.6).abs() < 0.01);
        let slower = Conditions { one_way_delay_ms: 400.0, ..good };
        assert!((slower.rating() - 59.1).abs() < 0.02, "{}", slower.rating());
        let dead = Conditions { one_way_delay_ms: 2000.0, loss: 1.0, codec: CodecImpairment::GSM };
        assert_eq!((dead.rating(), dead.mean_opinion()), (0.0, 1.0));
    }
}
