//! Secondary structure as MARTINI tells it: E strand, H helix, 1 2 3 its first, last and only turn, T turn, S bend,
//! C coil. (F, the helix of collagen, has no counterpart in DSSP.)

/// Residues of a helix's first and of its last turn.
const TURN: usize = 4;

fn class(dssp: char) -> char {
    match dssp {
        'H' | 'G' | 'I' => 'H',
        'E' | 'B' => 'E',
        'T' | 'S' => dssp,
        _ => 'C',
    }
}

/// MARTINI's codes for DSSP's; `joined`: whether a residue is bonded to the one before it. Helices end at gaps.
pub fn codes(dssp: &[char], joined: &[bool]) -> Vec<char> {
    let mut codes: Vec<char> = dssp.iter().map(|&code| class(code)).collect();
    let mut begin = 0;
    for end in 1..=codes.len() {
        if end < codes.len() && codes[end] == codes[begin] && joined[end] {
            continue;
        }
        if codes[begin] == 'H' {
            cap(&mut codes[begin..end]);
        }
        begin = end;
    }
    codes
}

/// Four residues and fewer are one turn; longer helices have ends that grow to a turn each.
fn cap(helix: &mut [char]) {
    let length = helix.len();
    let end = length.saturating_sub(TURN).min(TURN);
    if length <= 2 * TURN {
        helix.fill('3');
    }
    helix[..end].fill('1');
    helix[length - end..].fill('2');
}
