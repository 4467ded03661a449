use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len(), kind, flags, stream };
    [&head.bytes()[..], payload].concat()
}

fn greeted() -> Intake {
    let mut intake = Intake::new(100);
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    assert_eq!(intake.take(&hello).unwrap().unwrap().used, PREFACE.len());
    intake.take(&hello[PREFACE.len()..]).unwrap().unwrap();
    intake
}

/// All that is said, and its points.
fn said(intake: &mut Intake, mut bytes: &[u8]) -> Result<(Vec<String>, u32), Reason> {
    let (mut all, mut points) = (Vec::new(), 0);
    while let Some(frame) = intake.take(bytes)? {
        if frame.said != Said::Nothing {
            all.push(format!("{:?}", frame.said));
        }
        points += frame.points;
        bytes = &bytes[frame.used..];
    }
    Ok((all, points))
}

#[test]
fn frames_say_what_they_say_and_those_that_carry_nothing_cost_points() {
    for (bytes, want, points) in [
        (
            frame(DATA, 0, 1, b"ab"),
            Some(Said::Data { stream: 1, bytes: b"ab", cost: 2, ends: false }),
            0,
        ),
        (
            frame(DATA, PADDED | END_STREAM, 1, b"\x02ab.."),
            Some(Said::Data { stream: 1, bytes: b"ab", cost: 5, ends: true }),
            0,
        ),
        (
            frame(DATA, 0, 1, b""),
            Some(Said::Data { stream: 1, bytes: b"", cost: 0, ends: false }),
            1,
        ),
        (
            frame(DATA, END_STREAM, 1, b""),
            Some(Said::Data { stream: 1, bytes: b"", cost: 0, ends: true }),
            0,
        ),
        (
            frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 3, b"\x0112345block."),
            Some(Said::Block { stream: 3, block: b"block", ends: false }),
            0,
        ),
        (frame(PRIORITY, 0, 1, &[0; 5]), None, 1),
        (frame(RST_STREAM, 0, 1, &[0; 4]), Some(Said::Reset { stream: 1 }), 1),
        (frame(SETTINGS, 0, 0, &[0; 6]), Some(Said::Settings(&[0; 6])), 1),
        (frame(SETTINGS, ACK, 0, &[]), None, 1),
        (frame(PING, 0, 0, &[7; 8]), Some(Said::Ping([7; 8])), 1),
        (frame(PING, ACK, 0, &[7; 8]), Some(Said::Pong([7; 8])), 1),
        (frame(GOAWAY, 0, 0, &[0; 8]), None, 1),
        (
            frame(WINDOW_UPDATE, 0, 5, &[0x80, 0, 0, 9]),
            Some(Said::Window { stream: 5, more: 9 }),
            0,
        ),
        (frame(0xbe, 0, 2, &[0; 100]), None, 1),
    ] {
        let want = (want.iter().map(|said| format!("{said:?}")).collect(), points);
        assert_eq!(said(&mut greeted(), &bytes), Ok(want), "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(greeted().take(&bytes[..end]), Ok(None), "{end} of {bytes:?}");
        }
    }
}

#[test]
fn what_breaks_a_rule_of_frames_ends_the_connection() {
    let open = frame(HEADERS, 0, 1, b"a");
    for (bytes, reason) in [
        (frame(DATA, 0, 0, b"a"), Reason::PROTOCOL),
        (frame(DATA, PADDED, 1, b""), Reason::FRAME_SIZE),
        (frame(DATA, PADDED, 1, b"\x01"), Reason::PROTOCOL),
        (frame(DATA, 0, 1, &[0; PAYLOAD_MAX + 1]), Reason::FRAME_SIZE),
        (frame(HEADERS, END_HEADERS, 2, b""), Reason::PROTOCOL),
        (frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"1234"), Reason::PROTOCOL),
        (frame(PRIORITY, 0, 1, &[0; 4]), Reason::FRAME_SIZE),
        (frame(RST_STREAM, 0, 0, &[0; 4]), Reason::PROTOCOL),
        (frame(RST_STREAM, 0, 1, &[0; 3]), Reason::FRAME_SIZE),
        (frame(SETTINGS, 0, 1, &[]), Reason::PROTOCOL),
        (frame(SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE),
        (frame(SETTINGS, ACK, 0, &[0; 6]), Reason::FRAME_SIZE),
        (frame(PUSH_PROMISE, 0, 1, &[0; 4]), Reason::PROTOCOL),
        (frame(PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE),
        (frame(PING, 0, 1, &[0; 8]), Reason::PROTOCOL),
        (frame(GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE),
        (frame(WINDOW_UPDATE, 0, 1, &[0; 3]), Reason::FRAME_SIZE),
        (frame(CONTINUATION, 0, 1, b"a"), Reason::PROTOCOL),
        ([&open[..], &frame(DATA, 0, 1, b"")].concat(), Reason::PROTOCOL),
        ([&open[..], &frame(CONTINUATION, 0, 3, b"")].concat(), Reason::PROTOCOL),
        ([&open[..], &frame(CONTINUATION, 0, 1, &[0; 100])].concat(), Reason::CALM),
    ] {
        assert_eq!(
            said(&mut greeted(), &bytes),
            Err(reason),
            "{:?}",
            &bytes[..bytes.len().min(40)]
        );
    }
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    assert_eq!(said(&mut Intake::new(9), b"PRI * HTTP/2.0\r\n\r\nXX"), Err(Reason::PROTOCOL));
    for second in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[])] {
        let bytes = [PREFACE, &second].concat();
        assert_eq!(said(&mut Intake::new(9), &bytes), Err(Reason::PROTOCOL));
    }
    let mut intake = Intake::new(9);
    assert!(!intake.has_greeted());
    for byte in PREFACE {
        intake.take(&[*byte]).unwrap().unwrap();
    }
    intake.take(&frame(SETTINGS, 0, 0, &[])).unwrap().unwrap();
    assert!(intake.has_greeted());
}

#[test]
fn a_block_is_put_together_and_is_waited_for() {
    let mut intake = greeted();
    let open = frame(HEADERS, END_STREAM, 1, b"bl");
    assert!(!intake.is_amid(&[]) && intake.is_amid(&open[..3]));
    intake.take(&open).unwrap().unwrap();
    assert!(intake.is_amid(&[]));
    intake.take(&frame(CONTINUATION, 0, 1, b"oc")).unwrap().unwrap();
    let last = frame(CONTINUATION, END_HEADERS, 1, b"k");
    let block = intake.take(&last).unwrap().unwrap();
    assert_eq!(block.said, Said::Block { stream: 1, block: b"block", ends: true });
    let data = frame(DATA, 0, 1, b"body");
    assert!(!intake.is_amid(&data[..11]), "a body has a limit of its own");
    assert!(intake.is_amid(&data[..8]));
}
