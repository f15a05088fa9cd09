//! PDB and mmCIF: the shipped structures, imperfect files, round trips.

use crate::golden::root;
use kinesome::io::structure::Structure;
use std::path::Path;

fn pdb(text: &str) -> kinesome::Result<Structure> {
    Structure::parse_pdb(text, Path::new("t.pdb"))
}

#[test]
fn adenylate_kinase() {
    let open = Structure::read(&root().join("data/adk_open.pdb")).unwrap();
    let closed = Structure::read(&root().join("data/adk_closed.pdb")).unwrap();
    // Counts and deviation as data/README.md gives them.
    assert_eq!((open.atoms.len(), closed.atoms.len()), (1656, 1656));
    assert_eq!(open.models.len(), 1);
    let ca: Vec<usize> = (0..1656).filter(|&i| open.atoms[i].name == "CA").collect();
    assert_eq!(ca.len(), 214);
    let sum: f64 = ca
        .iter()
        .map(|&i| (0..3).map(|k| (open.models[0][i][k] - closed.models[0][i][k]).powi(2)).sum::<f64>())
        .sum();
    assert!(((sum / 214.0).sqrt() - 7.66).abs() < 0.005);
    let first = &open.atoms[0];
    assert_eq!((first.name.as_str(), first.element.as_str(), first.residue_name.as_str()), ("N", "N", "MET"));
    assert_eq!((first.chain.as_str(), first.residue_number, first.hetero), ("A", 1, false));
    assert_eq!(open.models[0][0], [-7.831, 15.933, -3.700]);
}

const MIXED: &str = "\
REMARK   anything
CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 no such group
MODEL        1
ATOM      1  N  AGLY A  10A     11.000  12.000 -13.500  0.40 20.50           N
ATOM      2  N  BGLY A  10A     21.000  22.000 -23.500  0.60 20.50           N
ATOM      3  CA  GLY A  10A      1.000   2.000   3.000
ATOM      4  CA  ALA B  -5       1.000   2.000   3.000  1.00  0.00
HETATM    5 CA    CA A 900       4.000   5.000   6.000  1.00  0.00
HETATM    6 FE   HEM A 901       4.000   5.000   6.000  1.00  0.00          FE
HETATM    7  C1  HEM A 901       4.000   5.000   6.000  1.00  0.00
ATOM      8 HG11 VAL B  A000     4.000   5.000   6.000  1.00  0.00
ENDMDL
";

#[test]
fn imperfect_pdb() {
    let s = pdb(&MIXED.replace("VAL B  A000 ", "VAL BA000  ")).unwrap();
    let names: Vec<(&str, &str, &str, i32)> = s
        .atoms
        .iter()
        .map(|a| (a.name.as_str(), a.element.as_str(), a.chain.as_str(), a.residue_number))
        .collect();
    assert_eq!(
        names,
        [
            ("N", "N", "A", 10),
            ("CA", "C", "A", 10),
            ("CA", "C", "B", -5),
            ("CA", "Ca", "A", 900),
            ("FE", "Fe", "A", 901),
            ("C1", "C", "A", 901),
            ("HG11", "H", "B", 10_000),
        ]
    );
    // The location with the higher occupancy; the order of the file although chain A comes back after B.
    assert_eq!(s.models[0][0], [21.0, 22.0, -23.5]);
    assert_eq!(s.atoms[0].insertion_code, Some('A'));
    assert_eq!((s.atoms[1].occupancy, s.atoms[1].b_factor), (1.0, 0.0));
}

#[test]
fn models_must_agree() {
    let atom = |name: &str, x: f64| format!("ATOM      1  {name:<3} GLY A   1    {x:>8.3}   2.000   3.000\n");
    let two = format!("MODEL 1\n{}ENDMDL\nMODEL 2\n{}ENDMDL\n", atom("CA", 1.0), atom("CA", 9.0));
    let s = pdb(&two).unwrap();
    assert_eq!((s.atoms.len(), s.models.len()), (1, 2));
    assert_eq!(s.models[1][0][0], 9.0);
    let frames = format!("{}END\n{}END\n", atom("CA", 1.0), atom("CA", 2.0));
    assert_eq!(pdb(&frames).unwrap().models.len(), 2);
    for other in [two.replacen("CA", "CB", 1), format!("{two}MODEL 7\n{0}{0}ENDMDL\n", atom("CA", 1.0))] {
        let e = pdb(&other).unwrap_err().to_string();
        assert!(e.contains("model 2") || e.contains("model 7"), "{e}");
    }
}

#[test]
fn errors_name_the_line() {
    let bad = "REMARK\nATOM      1  CA  GLY A   1      1.0x0   2.000   3.000\n";
    let e = pdb(bad).unwrap_err().to_string();
    assert!(e.contains("line 2") && e.contains("1.0x0"), "{e}");
    assert!(pdb("ATOM      1  CA  GLY A   1         nan   2.000   3.000\n").is_err());
    assert!(pdb("ATOM  ").is_err());
    assert!(pdb("").unwrap_err().to_string().contains("no atoms"));
    assert!(pdb("ATOM      1  CÄ  GLY A   1       1.000   2.000   3.000\n").is_err());
}

const CIF: &str = "data_x
_cell.length_a 10.0
_struct.title
;a title; with
 loop_ inside
;
loop_
_entity.id
_entity.pdbx_description
1 'O5' chain'
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.pdbx_PDB_ins_code
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
ATOM   1 N  N     . MET A 1 ? 1.0 2.0 3.0(2) 1.00 101 Hx 1 # a comment
ATOM   2 O  \"O5'\" . A   A 2 B -1.5e1 2.0
3.0 . 102 Hx 1
HETATM 3 ZN ZN    . ZN  B . ? 7 8 9 1.00 201 Hx 1
ATOM   1 N  N     . MET A 1 ? 4.0 5.0 6.0 1.00 101 Hx 2
ATOM   2 O  \"O5'\" . A   A 2 B 4.0 5.0 6.0 1.0 102 Hx 2
HETATM 3 ZN ZN    . ZN  B . ? 7 8 9 1.00 201 Hx 2
#
loop_
_other.a
1
";

#[test]
fn mmcif() {
    let s = Structure::parse_cif(CIF, Path::new("t.cif")).unwrap();
    assert_eq!((s.atoms.len(), s.models.len()), (3, 2));
    assert_eq!(s.atoms[1].name, "O5'");
    assert_eq!((s.atoms[1].insertion_code, s.atoms[1].occupancy), (Some('B'), 1.0));
    assert_eq!((s.atoms[1].chain.as_str(), s.atoms[1].residue_number), ("Hx", 102));
    assert_eq!((s.atoms[2].element.as_str(), s.atoms[2].hetero), ("Zn", true));
    assert_eq!(s.models[0], [[1.0, 2.0, 3.0], [-15.0, 2.0, 3.0], [7.0, 8.0, 9.0]]);
    for n in 0..CIF.len() {
        let _ = Structure::parse_cif(&CIF[..n], Path::new("t.cif"));
    }
    let e = Structure::parse_cif(&CIF.replace("-1.5e1", "."), Path::new("t.cif")).unwrap_err().to_string();
    assert!(e.contains("line 29"), "{e}");
    assert!(Structure::parse_cif("data_x\n_a 'open\n", Path::new("t.cif")).is_err());
    assert!(Structure::parse_cif("data_x\n;open\n", Path::new("t.cif")).is_err());
}

#[test]
fn round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = Structure::read(&root().join("data/adk_open.pdb")).unwrap();
    let closed = Structure::read(&root().join("data/adk_closed.pdb")).unwrap();
    s.models.push(closed.models[0].clone());
    let mixed = pdb(MIXED.split("ATOM      8").next().unwrap()).unwrap();
    for (name, s) in [("adk", &s), ("mixed", &mixed)] {
        for end in ["pdb", "cif"] {
            let path = dir.path().join(format!("{name}.{end}"));
            s.write(&path).unwrap();
            // Both formats keep three decimals, as the source has.
            assert_eq!(&Structure::read(&path).unwrap(), s, "{name}.{end}");
        }
    }
    // What PDB columns cannot hold is refused there and kept by mmCIF.
    let mut wide = mixed.clone();
    wide.atoms[0].chain = "Long".into();
    wide.models[0][1][0] = 12_345.678;
    let path = dir.path().join("wide.pdb");
    assert!(wide.write(&path).unwrap_err().to_string().contains("chain `Long`"));
    assert!(!path.exists());
    wide.write(&dir.path().join("wide.cif")).unwrap();
    assert_eq!(Structure::read(&dir.path().join("wide.cif")).unwrap(), wide);
    wide.models[0].pop();
    assert!(wide.write(&dir.path().join("wide.cif")).is_err());
}

#[test]
fn damage_never_panics() {
    let text = std::fs::read_to_string(root().join("data/adk_open.pdb")).unwrap();
    let text = &text[..4000];
    for i in 0..text.len() {
        let _ = pdb(&text[..i]);
        let mut bytes = text.as_bytes().to_vec();
        bytes[i] ^= 0x15;
        let _ = pdb(&String::from_utf8_lossy(&bytes));
        let mut bytes = CIF.as_bytes().to_vec();
        bytes[i % CIF.len()] ^= 0x15;
        let _ = Structure::parse_cif(&String::from_utf8_lossy(&bytes), Path::new("t.cif"));
    }
}
