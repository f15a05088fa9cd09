//! The pickle reader: Python's files are read, hostile and damaged ones refused.

use crate::golden::{golden, root};
use kinesome::io::npy::{Array, ArrayData};
use kinesome::io::pickle::{self, Value};
use std::path::Path;

fn parse(bytes: &[u8]) -> Result<Vec<Value>, String> {
    pickle::parse_all(bytes, Path::new("test.pkl")).map_err(|e| e.to_string())
}

fn one(bytes: &[u8]) -> Value {
    let mut all = parse(bytes).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn plain_values_of_every_protocol() {
    let expected = Value::Dict(vec![
        (
            Value::str("a"),
            Value::List(vec![Value::Int(1), Value::Float(-2.5), Value::None, Value::Bool(true)]),
        ),
        (Value::str("b"), Value::Tuple(vec![Value::Int(-300), Value::Int(70000), Value::Int(1 << 40)])),
    ]);
    // pickle.dumps({'a': [1, -2.5, None, True], 'b': (-300, 70000, 1 << 40)}, n), printed by Python 3.11.
    let written: [&[u8]; 6] = [
        b"(dp0\nVa\np1\n(lp2\nI1\naF-2.5\naNaI01\nasVb\np3\n(I-300\nI70000\nL1099511627776L\ntp4\ns.",
        b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G\xc0\x04\x00\x00\x00\x00\x00\x00NI01\neX\x01\x00\x00\x00bq\x03(J\xd4\xfe\xff\xffJp\x11\x01\x00L1099511627776L\ntq\x04u.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G\xc0\x04\x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03J\xd4\xfe\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x87q\x04u.",
        b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G\xc0\x04\x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03J\xd4\xfe\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x87q\x04u.",
        b"\x80\x04\x953\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G\xc0\x04\x00\x00\x00\x00\x00\x00N\x88e\x8c\x01b\x94J\xd4\xfe\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x87\x94u.",
        b"\x80\x05\x953\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G\xc0\x04\x00\x00\x00\x00\x00\x00N\x88e\x8c\x01b\x94J\xd4\xfe\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x87\x94u.",
    ];
    for (protocol, bytes) in written.iter().enumerate() {
        assert_eq!(one(bytes), expected, "protocol {protocol}");
    }
}

#[test]
fn arrays_of_every_protocol_and_order() {
    // np.asfortranarray(np.arange(6, dtype='>i4').reshape(2, 3)) as NumPy 1.26 and 2 pickle it (tests/formats/pickles).
    let expected = Array::new(vec![2, 3], ArrayData::I32(vec![0, 1, 2, 3, 4, 5])).unwrap();
    for version in ["numpy1", "numpy2"] {
        for protocol in 0..=5 {
            let path = root().join(format!("tests/formats/pickles/{version}_fortran_be_p{protocol}.pkl"));
            assert_eq!(pickle::read(&path).unwrap(), Value::Array(expected.clone()), "{version} {protocol}");
            // {'x': np.float32(1.5), 'n': np.int64(-3), 'h': np.float16 array}
            let path = root().join(format!("tests/formats/pickles/{version}_scalars_p{protocol}.pkl"));
            let v = pickle::read(&path).unwrap();
            assert_eq!(v.get("x"), Some(&Value::Float(1.5)));
            assert_eq!(v.get("n"), Some(&Value::Int(-3)));
            assert_eq!(v.get("h"), Some(&Value::Array(Array::f32(&[2], vec![0.5, -1.0]).unwrap())));
        }
    }
}

#[test]
fn shared_and_growing_objects() {
    // a = [1]; (a, a), with the list filled after both uses: ( ] q0 h0 ... the machine must not copy early.
    assert_eq!(
        one(b"\x80\x02]q\x00h\x00\x86h\x00K\x01a0."),
        Value::Tuple(vec![Value::List(vec![Value::Int(1)]), Value::List(vec![Value::Int(1)])])
    );
    assert_eq!(parse(b"K\x01.K\x02.").unwrap(), [Value::Int(1), Value::Int(2)]);
}

#[test]
fn calls_are_refused_by_name() {
    let hostile: [(&str, &[u8]); 10] = [
        ("os.system", b"cos\nsystem\n(S'echo hi'\ntR."),
        ("posix.system", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02hi\x85R."),
        ("os.system", b"(S'echo hi'\nios\nsystem\n."),
        ("os.system", b"(cos\nsystem\nS'echo hi'\no."),
        ("subprocess.Popen", b"\x80\x02csubprocess\nPopen\n)\x81."),
        ("subprocess.Popen", b"\x80\x04csubprocess\nPopen\n)}\x92."),
        ("builtins.eval", b"\x80\x03cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
        ("__builtin__.getattr", b"c__builtin__\ngetattr\n."),
        ("numpy.load", b"cnumpy\nload\n."),
        ("torch.hub.load", b"ctorch.hub\nload\n."),
    ];
    for (name, bytes) in hostile {
        let e = parse(bytes).unwrap_err();
        assert!(e.contains(name) && e.contains("refused") && e.contains("byte "), "{name}: {e}");
    }
    // Allowed names do only what they are for.
    for bytes in [
        &b"\x80\x02(ccollections\nOrderedDict\nK\x01o."[..],
        b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        b"ccollections\nOrderedDict\n.",
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x82\x01.",
        b"P123\n.",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn lengths_that_lie() {
    for bytes in [
        &b""[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00x.",
        b"B\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"X\xff\xff\xff\xff.",
        b"T\xff\xff\xff\xff.",
        b"\x80\x09.",
        b"h\x07.",
        b"t.",
        b"(((.",
        b"\x85.",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
    // A shape that does not fit its data, and one that overflows.
    for shape in [
        &b"K\x05\x85"[..],
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86",
    ] {
        let mut bytes =
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01".to_vec();
        bytes.extend_from_slice(shape);
        bytes.extend_from_slice(
            b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R\x89C\x04\x00\x00\x00\x00tb.",
        );
        let e = parse(&bytes).unwrap_err();
        assert!(e.contains("shape"), "{e}");
    }
}

#[test]
fn deep_cyclic_and_exploding() {
    let mut deep = vec![b']'; 200_000];
    deep.extend(vec![b'a'; 199_999]);
    deep.push(b'.');
    assert!(parse(&deep).unwrap_err().contains("deep"));
    assert!(parse(b"]q\x00h\x00a.").unwrap_err().contains("hold themselves"));
    // Lists of ten of the list before, thirty times over: 10^30 values from a few hundred bytes.
    let mut laughs = b"]q\x00".to_vec();
    for i in 0..30u8 {
        laughs.extend_from_slice(b"](");
        (0..10).for_each(|_| laughs.extend_from_slice(&[b'h', i]));
        laughs.extend_from_slice(&[b'e', b'q', i + 1]);
    }
    laughs.push(b'.');
    assert!(parse(&laughs).unwrap_err().contains("repeats"));
}

#[test]
fn damage_never_panics() {
    for name in ["cli/pose.pkl", "cli/ctf.pkl", "cli/z.pkl"] {
        let good = std::fs::read(golden(name)).unwrap();
        assert!(parse(&good).is_ok());
        for n in (0..good.len()).step_by(7).chain(0..300) {
            // z.pkl holds two pickles: cut between them it is a whole file of one.
            if n < good.len() && parse(&good[..n]).is_ok() {
                assert_eq!(name, "cli/z.pkl");
            }
        }
        for i in (0..good.len().min(400)).chain(good.len() - 200..good.len()) {
            for flip in [1u8, 2, 0x20, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[i] ^= flip;
                let _ = parse(&bad);
            }
        }
    }
}

#[test]
fn round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pkl");
    let value = Value::Dict(vec![
        (Value::str("é"), Value::Tuple(vec![Value::None, Value::Bool(false), Value::Float(1e-300)])),
        (
            Value::Int(-1),
            Value::List(vec![Value::Int(i64::MIN), Value::Int(255), Value::Int(256), Value::Int(1 << 31)]),
        ),
        (Value::str("b"), Value::Bytes(vec![0, 255])),
        (Value::str("f"), Value::Array(Array::f32(&[2, 1], vec![1.5, f32::INFINITY]).unwrap())),
        (Value::str("i"), Value::Array(Array::new(vec![2], ArrayData::I32(vec![-1, 1])).unwrap())),
        (Value::str("e"), Value::Array(Array::f64(&[0, 3], vec![]).unwrap())),
        (Value::str("?"), Value::Array(Array::new(vec![1], ArrayData::Bool(vec![true])).unwrap())),
        (Value::str("t"), Value::Tuple(vec![])),
    ]);
    pickle::write_all(&path, &[value.clone(), Value::Int(1)]).unwrap();
    assert_eq!(pickle::read_all(&path).unwrap(), [value, Value::Int(1)]);
}
