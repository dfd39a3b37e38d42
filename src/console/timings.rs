//! How long repeated operations took: a histogram, whose memory does not grow with their number.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Times in nanoseconds, kept with three significant digits in at most 450 KB.
pub struct Timings(Histogram<u64>);

impl Default for Timings {
    #[expect(
        clippy::expect_used,
        reason = "three digits are among those that a histogram can keep"
    )]
    fn default() -> Self {
        Self(Histogram::new(3).expect("three significant digits"))
    }
}

impl Timings {
    /// One more operation took this long.
    pub fn record(&mut self, took: Duration) {
        // The range of a histogram without bounds grows with what is recorded: none fails.
        let _ = self.0.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were recorded. Without any all times are zero.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The shortest.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    /// The mean.
    pub fn avg(&self) -> Duration {
        Duration::try_from_secs_f64(self.0.mean() / 1e9).unwrap_or_default()
    }

    /// The median.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Nine of ten took at most this long.
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// 99 of 100 took at most this long.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }
}

/// In JSON: an object of milliseconds, each rounded to a microsecond.
impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, value) in [
            ("min", self.min()),
            ("avg", self.avg()),
            ("p50", self.p50()),
            ("p90", self.p90()),
            ("p99", self.p99()),
            ("max", self.max()),
        ] {
            map.serialize_entry(name, &millis(value))?;
        }
        map.end()
    }
}

/// A duration in milliseconds as JSON has it: rounded to a microsecond.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_what_was_recorded() {
        let mut timings = Timings::default();
        assert_eq!((timings.count(), timings.min(), timings.max()), Default::default());
        for millis in 1..=100 {
            timings.record(Duration::from_millis(millis));
        }
        assert_eq!(timings.count(), 100);
        let close = |shown: Duration, millis: f64| {
            let shown = shown.as_secs_f64() * 1e3;
            assert!((shown - millis).abs() <= millis / 500.0, "{shown} is not {millis}");
        };
        close(timings.min(), 1.0);
        close(timings.avg(), 50.5);
        close(timings.p50(), 50.0);
        close(timings.p90(), 90.0);
        close(timings.p99(), 99.0);
        close(timings.max(), 100.0);
    }

    #[test]
    fn any_time_can_be_recorded() {
        let mut timings = Timings::default();
        for took in [Duration::ZERO, Duration::MAX, Duration::from_micros(15)] {
            timings.record(took);
        }
        assert_eq!(timings.count(), 3);
        assert_eq!(millis(Duration::from_nanos(15_499)).to_string(), "0.015");
    }
}
