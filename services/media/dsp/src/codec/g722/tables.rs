//! The constants of ITU-T G.722 (09/2012).

/// Decision levels of the 60-level quantiser of the lower band, without the outermost (table 14, LL6).
pub(super) const LEVELS_LOW: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121,
    1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// The one decision level of the upper band (table 20).
pub(super) const LEVEL_HIGH: i32 = 564;

/// Output of the inverse quantiser of 6 bits by the lower band's code (table 17, RIL6).
pub(super) const VALUES_6_BIT: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232,
    -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776,
    -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280,
    11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576, 3_168,
    2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432, 136, -432, -136,
];

/// Output of the inverse quantiser of 4 bits, which feeds the predictor of the lower band.
pub(super) const VALUES_4_BIT: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584,
    1_200, 0,
];

/// Output of the inverse quantiser of the upper band.
pub(super) const VALUES_2_BIT: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// By how much a code moves the logarithmic scale factor of the lower band, by its upper 4 bits (tables 12 and 13, WL).
pub(super) const STEPS_LOW: [i32; 16] =
    [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];

/// The same for the upper band (WH).
pub(super) const STEPS_HIGH: [i32; 4] = [798, -214, 798, -214];

/// The 32 fractions of one octave of the scale factor (ILB).
pub(super) const OCTAVE: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774,
    2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838,
    3_922, 4_008,
];

/// Every second tap of the quadrature mirror filter of 24 taps; the others are the same in reverse (table 11).
pub(super) const MIRROR: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];
