//! The saturating 16-bit arithmetic of GSM 06.10, section 5.1.1.

/// `a * b` as fractions of 2^15, truncated.
pub(super) fn mult(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 15).min(i32::from(i16::MAX)) as i16
}

/// `a * b` as fractions of 2^15, rounded.
pub(super) fn mult_r(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + 16_384) >> 15).min(i32::from(i16::MAX)) as i16
}

/// Absolute value; that of -32,768 is 32,767.
pub(super) fn magnitude(a: i16) -> i16 {
    a.saturating_abs()
}

/// How far a positive number can be shifted left without reaching the sign.
pub(super) fn norm(a: i32) -> u32 {
    debug_assert!(a > 0);
    a.leading_zeros().saturating_sub(1)
}

/// `numerator / denominator` as a fraction of 2^15, both not negative and the result at most one.
pub(super) fn divide(numerator: i16, denominator: i16) -> i16 {
    if numerator == 0 || denominator == 0 {
        return 0;
    }
    ((i32::from(numerator) << 15) / i32::from(denominator)).min(i32::from(i16::MAX)) as i16
}
