//! DURATION, SIZE and numbers as written on the command line and in socket options.

use std::str::FromStr;
use std::time::Duration;

const DURATIONS: &str = "a duration is 500ms, 1.5s, 2m, 1h, 14d or a bare number of seconds";
const SIZES: &str = "a size is 512, 64k, 1M or 2GiB";

/// A hundred years, in seconds: beyond it deadline arithmetic could overflow.
const LONGEST: f64 = 100.0 * 365.25 * 86400.0;

/// Reads a DURATION: `500ms`, `1.5s`, `.5`, `2m`, `1h`, `14d`, or a bare number of seconds; `500us` too. The
/// error lists the usual forms; the caller names the value.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text, |c| c.is_ascii_digit() || c == '.');
    let unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(DURATIONS.into()),
    };
    // f64 would also take `5.`, and what the split has kept out: signs, exponents, NaN.
    let number = number.parse::<f64>().ok().filter(|_| !number.ends_with('.'));
    let seconds = number.ok_or(DURATIONS)? * unit;
    if seconds > LONGEST {
        return Err(format!("longer than 100 years; {DURATIONS}"));
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| DURATIONS)?;
    if duration.is_zero() && seconds > 0.0 {
        // 0 means "no limit": a very short time must not become a very long one.
        return Ok(Duration::from_nanos(1));
    }
    Ok(duration)
}

/// A duration as it could be written: `300ms`, `1.5s`, `0s`.
pub fn shown(duration: Duration) -> String {
    if duration.is_zero() { "0s".into() } else { format!("{duration:?}") }
}

/// Reads a SIZE in bytes: `512`, `64k`, `1M`, `2GiB`; the units are powers of 1024 in any case
/// of letters. The error lists these forms; the caller names the value.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text, |c| c.is_ascii_digit());
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(SIZES.into()),
    };
    if number.is_empty() {
        return Err(SIZES.into());
    }
    // All digits: only overflow can fail.
    count::<u64>(number)
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("16 EiB or more; {SIZES}"))
}

/// Reads a count: decimal digits and nothing else, no sign.
pub fn count<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Reads a number that may be negative: decimal, or hex after `0x`.
pub fn number<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let value = match digits.strip_prefix("0x") {
        Some(hex) if hex.starts_with('+') => return None,
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => count(digits)?,
    };
    T::try_from(sign * i128::from(value)).ok()
}

/// A number of bytes in three digits or so: `512 B`, `1.2 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = count.ilog2() / 10;
    let unit = UNITS[power as usize - 1];
    let tenths = u128::from(count) * 10 / (1 << (10 * power));
    if tenths < 1000 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

/// `1.5s` as (`1.5`, `s`).
fn split_unit(text: &str, in_number: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !in_number(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_duration() {
        for (text, millis) in [
            ("500ms", 500),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("14d", 1_209_600_000),
            ("10", 10_000),
            ("0.25", 250),
            ("0", 0),
            ("0ms", 0),
            (".5", 500),
            ("2500us", 2),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_258_291, "1.1 MiB"),
            (1_258_292, "1.2 MiB"),
            (104_857_599, "99.9 MiB"),
            (200 << 30, "200 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn no_other_duration() {
        for text in [
            "", "-1", "+1", "NaN", "inf", "1e30", "1e3", "5x", "s", ".", "5.", "1..2", " 1", "1 s",
            "1S", "1D", "1h30m", "0x10", "١s",
        ] {
            assert!(duration(text).is_err_and(|e| e.contains("500ms, 1.5s, 2m, 1h")), "{text}");
        }
    }

    #[test]
    fn a_duration_has_ends() {
        assert!(duration("876600h").is_ok());
        assert!(duration("876601h").is_err());
        assert!(duration(&"9".repeat(400)).is_err());
        assert_eq!(duration("0.0000000000001"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn every_form_of_a_size() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64k", 65536),
            ("64K", 65536),
            ("64kB", 65536),
            ("1M", 1 << 20),
            ("1mib", 1 << 20),
            ("2GiB", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn counts_have_no_sign_and_numbers_no_plus() {
        assert_eq!((count("7"), count::<u8>("256")), (Some(7_u8), None));
        assert_eq!((count::<u64>("+5"), count::<u64>(""), count::<u64>("-0")), (None, None, None));
        assert_eq!((number("-7"), number("0x1f"), number("-0x1")), (Some(-7), Some(31), Some(-1)));
        for text in ["+1", "", "-", "0x", "0x+1", "--1", "2147483648"] {
            assert_eq!(number::<i32>(text), None, "{text}");
        }
    }

    #[test]
    fn no_other_size() {
        for text in [
            "",
            "-1",
            "+1",
            "1.5k",
            "k",
            "1e3",
            "5x",
            "1T",
            "1 k",
            "0x10",
            "1ib",
            "18446744073709551616",
            "17179869184G",
        ] {
            assert!(size(text).is_err_and(|e| e.contains("512, 64k, 1M or 2GiB")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*|[0-9.]{0,30}[a-zA-Z]{0,3}") {
            let _ = (duration(&text), size(&text));
        }

        #[test]
        fn whole_seconds_are_exact(seconds in 0u32..3_000_000_000) {
            prop_assert_eq!(duration(&seconds.to_string()), Ok(Duration::from_secs(seconds.into())));
        }
    }
}
