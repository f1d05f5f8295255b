//! Content codings: gzip, for those who accept it.

use std::io::{self, Write as _};

use flate2::{Compression, write::GzEncoder};
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// The bytes, compressed.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whether gzip is acceptable, and at least as welcome as no coding (RFC 9110, 12.5.3). Without the header nobody asks
/// for it.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let [mut gzip, mut any, mut identity] = [None; 3];
    // Several lines of one header are one list; codings and parameters are compared without regard to case.
    let lines = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|line| line.to_str().ok());
    for (coding, weight) in lines.flat_map(|line| line.split(',')).filter_map(weighted) {
        let place = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "*" => &mut any,
            "identity" => &mut identity,
            _ => continue,
        };
        *place = Some(weight);
    }
    // The asterisk stands for what is not named.
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// A coding and its weight, which is 1 where none is given; nothing where it cannot be read.
fn weighted(member: &str) -> Option<(&str, f32)> {
    let mut parts = member.split(';').map(str::trim);
    let coding = parts.next()?;
    let is_weight = |name: &str| name.trim_end().eq_ignore_ascii_case("q");
    let weight = parts.find_map(|part| part.split_once('=').filter(|(name, _)| is_weight(name)));
    let weight = weight.map_or(Some(1.0), |(_, value)| value.trim_start().parse().ok())?;
    (0.0..=1.0).contains(&weight).then_some((coding, weight))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        let rows: [(&[&str], bool); 22] = [
            (&[], false),
            (&[""], false),
            (&["gzip"], true),
            (&["GZIP"], true),
            (&["x-gzip"], true),
            (&["x-gzip-not"], false),
            (&["deflate, gzip;q=0.8"], true),
            (&["gzip ; q=0.001"], true),
            (&["gzip;level=1;q=0.5"], true),
            (&["gzip;q=0"], false),
            (&["gzip;Q=0"], false),
            (&["gzip; q = 0.000"], false),
            (&["gzip;q=2"], false),
            (&["gzip;q=nan"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*, gzip;q=0"], false),
            (&["*;q=0, gzip"], true),
            (&["identity"], false),
            (&["identity, gzip;q=0.5"], false),
            (&["br", "gzip"], true),
        ];
        for (lines, expected) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(accepts_gzip(&headers), expected, "{lines:?}");
        }
    }
}
