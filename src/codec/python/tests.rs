//! Messages of all lengths, at every split.

use proptest::prelude::*;

use super::*;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame(message, &mut wire);
    wire
}

/// The payload of a wire that comes in pieces of these sizes.
fn opened(wire: &[u8], cuts: &[usize], unit: Unit) -> (Vec<u8>, Frames) {
    let (mut frames, mut payload, mut rest) = (Frames::new(unit), Vec::new(), wire);
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (some, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        frames.decode(&mut some.to_vec(), &mut payload, &mut Vec::new()).unwrap();
        rest = more;
    }
    (payload, frames)
}

#[test]
fn long_lengths_and_bad_ones() {
    let long = [&[0xff; 4][..], &5u64.to_be_bytes(), b"hello"].concat();
    assert_eq!(opened(&long, &[1], Unit::Line).0, b"hello\n");
    let mut frames = Frames::new(Unit::Line);
    assert!(
        frames
            .decode(&mut (-2i32).to_be_bytes().to_vec(), &mut Vec::new(), &mut Vec::new())
            .is_err()
    );
    for cut in 1..long.len() {
        let (_, mut frames) = opened(&long[..cut], &[1], Unit::Line);
        assert!(frames.at_wire_eof().is_err(), "at {cut}");
    }
}

proptest! {
    #[test]
    fn lines_are_messages_however_they_come(
        lines in prop::collection::vec("[a-c]{0,5}", 0..8),
        whole in any::<bool>(),
        cuts in prop::collection::vec(1usize..7, 1..8),
    ) {
        let mut text = lines.join("\n");
        if whole && !lines.is_empty() {
            text.push('\n');
        }
        let (mut frames, mut wire, mut rest) = (Frames::new(Unit::Line), Vec::new(), text.as_bytes());
        let mut sizes = cuts.iter().cycle();
        while !rest.is_empty() {
            let (some, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            frames.encode(some, &mut wire).unwrap();
            rest = more;
        }
        frames.encode_eof(&mut wire);
        let wanted: Vec<u8> = text.lines().flat_map(|line| framed(line.as_bytes())).collect();
        prop_assert_eq!(&wire, &wanted);
        let (payload, mut frames) = opened(&wire, &cuts, Unit::Line);
        let lines: Vec<u8> = text.lines().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        prop_assert_eq!(payload, lines);
        prop_assert!(frames.at_wire_eof().is_ok());
    }

    #[test]
    fn chunks_are_messages_and_are_joined(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1usize..30, 1..8),
    ) {
        let (mut frames, mut wire) = (Frames::new(Unit::Chunk), Vec::new());
        for chunk in &chunks {
            let before = wire.len();
            frames.encode(chunk, &mut wire).unwrap();
            let one = if chunk.is_empty() { Vec::new() } else { framed(chunk) };
            prop_assert_eq!(&wire[before..], &one);
        }
        prop_assert_eq!(opened(&wire, &cuts, Unit::Chunk).0, chunks.concat());
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frames::new(Unit::Line).decode(&mut bytes.clone(), &mut Vec::new(), &mut Vec::new());
    }
}
