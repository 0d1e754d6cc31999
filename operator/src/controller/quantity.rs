//! Quantities in the form in which the API server writes them, so that what is applied and what is
//! read back are the same text (`k8s.io/apimachinery/pkg/api/resource`, canonical form).

/// Suffixes of powers of 1000, from thousandths on.
const DECIMAL: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of powers of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The canonical form of a quantity. A text that is no quantity, or one with an exponent or finer than
/// a thousandth, comes back as it is: the API server then says what it thinks of it.
#[must_use]
pub fn canonical(text: &str) -> String {
    parse(text).unwrap_or_else(|| text.to_owned())
}

/// Whether the API server takes `text` as a quantity: a number, and a suffix or an exponent.
#[must_use]
pub fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let is_number = number.chars().any(|c| c.is_ascii_digit()) && number.matches('.').count() <= 1;
    let exponent = suffix
        .strip_prefix(['e', 'E'])
        .map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let is_exponent = exponent.is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()));
    is_number
        && (is_exponent
            || ["n", "u"].contains(&suffix)
            || DECIMAL.contains(&suffix)
            || BINARY.contains(&suffix))
}

fn parse(text: &str) -> Option<String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The value is `digits / 10^scale`, in units of the suffix.
    let fraction = fraction.trim_end_matches('0');
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;

    if let Some(power) = BINARY.iter().position(|s| *s == suffix && !s.is_empty()) {
        let value = digits.checked_mul(1024_u128.checked_pow(u32::try_from(power).ok()?)?)?;
        if !value.is_multiple_of(scale) {
            return None;
        }
        let value = value / scale;
        if value < 1024 {
            return Some(value.to_string());
        }
        return Some(reduce(value, 1024, &BINARY, 0));
    }
    let power = DECIMAL.iter().position(|s| *s == suffix)?;
    let thousandths = digits.checked_mul(1000_u128.checked_pow(u32::try_from(power).ok()?)?)?;
    thousandths
        .is_multiple_of(scale)
        .then(|| reduce(thousandths / scale, 1000, &DECIMAL, 0))
}

/// The largest suffix that leaves a whole number.
fn reduce(value: u128, base: u128, suffixes: &[&str], at: usize) -> String {
    if value == 0 {
        return "0".to_owned();
    }
    if value.is_multiple_of(base) && at + 1 < suffixes.len() {
        return reduce(value / base, base, suffixes, at + 1);
    }
    format!("{value}{}", suffixes[at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_the_api_server_writes_them() {
        for (given, canonical) in [
            ("1000m", "1"),
            ("0.1", "100m"),
            ("1.5", "1500m"),
            ("1500m", "1500m"),
            ("2", "2"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("64Mi", "64Mi"),
            ("128M", "128M"),
            ("0", "0"),
            ("00.50", "500m"),
            ("1e3", "1e3"),
            ("0.0001", "0.0001"),
            ("lots", "lots"),
            ("", ""),
        ] {
            assert_eq!(super::canonical(given), canonical, "{given}");
        }
    }

    #[test]
    fn what_is_a_quantity() {
        for good in [
            "1", "0.5", ".5", "1.", "100m", "5n", "64Mi", "1E", "1e3", "1E-2", "+3", "-1Gi",
        ] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "lots", "Mi", "1 Gi", "1.2.3", "1mi", "1e", "1e+", "--1", "."] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(number in 0_u32..10_000_000, suffix in "(m|k|M|G|Ki|Mi|Gi|)") {
            let once = canonical(&format!("{number}{suffix}"));
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
