//! What both ends tell each other first (RFC 9113 §6.5.2). Pure.

use super::frame::{MAX, Reason};
use super::lane;
use crate::wire::server::Rules;

const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441 §3
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What may be sent before anything is said, on a stream and on all together (RFC 9113 §6.9.2).
pub(super) const WINDOW_BEFORE: u32 = 65_535;

/// A setting's number and value.
const SIZE: usize = 6;

/// What `number` is on the wire.
pub(super) fn clamped(number: usize) -> u32 {
    u32::try_from(number).map_or(MAX, |number| number.min(MAX))
}

/// What we tell a client.
pub(super) fn ours(rules: &Rules) -> Vec<u8> {
    let settings = [
        (MAX_CONCURRENT_STREAMS, rules.h2_streams),
        (INITIAL_WINDOW_SIZE, clamped(lane::WINDOW)),
        (MAX_HEADER_LIST_SIZE, clamped(rules.header_bytes)),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ];
    let bytes =
        settings.map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
    bytes.concat()
}

/// What a client tells us of the window of each stream, where it does.
///
/// # Errors
/// Why the connection has to end.
pub(super) fn window(settings: &[u8]) -> Result<Option<u32>, Reason> {
    let mut window = None;
    for setting in settings.chunks_exact(SIZE) {
        let [a, b, value @ ..] = setting else { continue };
        let value = value.try_into().map_or(0, u32::from_be_bytes);
        match u16::from_be_bytes([*a, *b]) {
            INITIAL_WINDOW_SIZE if value > MAX => return Err(Reason::FLOW_CONTROL),
            INITIAL_WINDOW_SIZE => window = Some(value),
            ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(Reason::PROTOCOL),
            MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => return Err(Reason::PROTOCOL),
            _ => {}
        }
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_found_and_what_may_not_be_said_is_not_taken() {
        let setting = |name: u8, value: u32| [&[0, name][..], &value.to_be_bytes()].concat();
        for (settings, want) in [
            (vec![], Ok(None)),
            (setting(4, 5), Ok(Some(5))),
            ([setting(4, 5), setting(3, 1), setting(4, 6)].concat(), Ok(Some(6))),
            (setting(4, MAX), Ok(Some(MAX))),
            (setting(4, MAX + 1), Err(Reason::FLOW_CONTROL)),
            (setting(2, 1), Ok(None)),
            (setting(2, 2), Err(Reason::PROTOCOL)),
            (setting(8, 2), Err(Reason::PROTOCOL)),
            (setting(5, 1 << 14), Ok(None)),
            (setting(5, (1 << 14) - 1), Err(Reason::PROTOCOL)),
            (setting(5, 1 << 24), Err(Reason::PROTOCOL)),
            (setting(0xbe, u32::MAX), Ok(None)),
        ] {
            assert_eq!(window(&settings), want, "{settings:?}");
        }
    }
}
