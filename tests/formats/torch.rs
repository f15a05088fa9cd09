//! PyTorch checkpoints: cryoDRGN's own, round trips, damage.

use crate::golden::{golden, root};
use kinesome::io::npy::{self, Array, ArrayData};
use kinesome::io::pickle::Value;
use kinesome::io::torch;
use std::io::Write;

#[test]
fn reads_cryodrgns_weights() {
    let tree = torch::read(&golden("cli/weights.pkl")).unwrap();
    assert_eq!(tree.get("epoch").and_then(Value::as_i64), Some(1));
    let model = tree.get("model_state_dict").unwrap();
    let weight = model.get("encoder.main.0.weight").and_then(Value::as_array).unwrap();
    // 32 hidden units on the 796 pixels of the mask of box 32.
    assert_eq!(weight.shape, [32, 796]);
    // PyTorch draws them from U(+-1/sqrt(796)); one Adam step of lr 1e-4 a batch (6 batches) moves them by less than 1e-3.
    let bound = 1.0 / 796f32.sqrt() + 1e-3;
    let v = weight.to_f32();
    assert!(v.iter().all(|x| x.abs() < bound) && v.iter().any(|x| x.abs() > 0.9 * bound));
    // The frequencies are drawn from N(0, 0.5^2): 3 x 16 rows of 3.
    let freqs = model.get("decoder.rand_freqs").and_then(Value::as_array).unwrap();
    assert_eq!(freqs.shape, [48, 3]);
    let variance = freqs.to_f64().iter().map(|x| x * x).sum::<f64>() / 144.0;
    // The relative error of a variance from 144 draws is sqrt(2/144) = 0.12; three times that.
    assert!((variance / 0.25 - 1.0).abs() < 0.36, "{variance}");
    let group =
        &tree.get("optimizer_state_dict").unwrap().get("param_groups").unwrap().as_slice().unwrap()[0];
    assert_eq!(group.get("lr").and_then(Value::as_f64), Some(1e-4));
}

#[test]
fn strided_half_and_shared_tensors() {
    // Written by PyTorch 2.9.1: t = arange(12.).reshape(3, 4);
    // {'t': t, 'transposed': t.T, 'row': t[1], 'column': t[:, 2], 'half', 'bf16': [1.5, -2], 'long': [2**40],
    //  'scalar': tensor(7.), 'repeated': tensor([3.]).expand(4), 'empty': zeros(0, 5), 'flag': [True, False],
    //  'parameter': nn.Parameter([0.25])}
    let tree = torch::read(&root().join("tests/formats/pickles/torch_sample.pt")).unwrap();
    let get = |name: &str| tree.get(name).and_then(Value::as_array).unwrap().clone();
    let f32 = |shape: &[usize], v: Vec<f32>| Array::f32(shape, v).unwrap();
    assert_eq!(get("t"), f32(&[3, 4], (0..12).map(|i| i as f32).collect()));
    assert_eq!(get("transposed"), f32(&[4, 3], vec![0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]));
    assert_eq!(get("row"), f32(&[4], vec![4., 5., 6., 7.]));
    assert_eq!(get("column"), f32(&[3], vec![2., 6., 10.]));
    assert_eq!(get("half"), f32(&[2], vec![1.5, -2.0]));
    assert_eq!(get("bf16"), f32(&[2], vec![1.5, -2.0]));
    assert_eq!(get("long"), Array::i64(&[1], vec![1 << 40]).unwrap());
    assert_eq!(get("scalar"), f32(&[], vec![7.0]));
    assert_eq!(get("repeated"), f32(&[4], vec![3.0; 4]));
    assert_eq!(get("empty"), f32(&[0, 5], vec![]));
    assert_eq!(get("flag"), Array::new(vec![2], ArrayData::Bool(vec![true, false])).unwrap());
    assert_eq!(get("parameter"), f32(&[1], vec![0.25]));
}

fn sample() -> Value {
    let array = |a: kinesome::Result<Array>| Value::Array(a.unwrap());
    Value::Dict(vec![
        (Value::str("epoch"), Value::Int(3)),
        (Value::str("w"), array(Array::f32(&[2, 3], vec![0.5, -1.0, 2.0, 3.0, 4.0, f32::MIN_POSITIVE]))),
        (
            Value::str("nested"),
            Value::List(vec![
                Value::Tuple(vec![Value::Float(0.9), Value::None, Value::Bool(true)]),
                Value::Dict(vec![(Value::Int(0), array(Array::f64(&[], vec![0.1])))]),
                array(Array::i64(&[0], vec![])),
                array(Array::new(vec![1], ArrayData::U8(vec![200]))),
            ]),
        ),
    ])
}

#[test]
fn round_trip_aligned_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.7.pkl");
    torch::write(&path, &sample()).unwrap();
    assert_eq!(torch::read(&path).unwrap(), sample());
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    for i in 0..zip.len() {
        let entry = zip.by_index(i).unwrap();
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        // PyTorch derives the folder from the file's name.
        assert!(entry.name().unwrap().starts_with("weights.7/"));
        assert_eq!(entry.data_start().unwrap() % 64, 0, "{}", entry.name().unwrap());
    }
    assert!(torch::write(&path, &Value::Bytes(vec![1])).is_err());
}

#[test]
fn damage_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.pkl");
    let good = std::fs::read(golden("cli/weights.pkl")).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        torch::read(&path)
    };
    assert!(load(&good).is_ok());
    for n in [0, 1, 4, 100, 5000, 100_000, good.len() - 1] {
        let e = load(&good[..n]).unwrap_err().to_string();
        assert!(e.contains("cut short"), "{n}: {e}");
    }
    // Any flipped byte of a storage or the program breaks its checksum; in the tables anything may happen but a panic.
    for i in (0..6000).step_by(97).chain((good.len() - 6000..good.len()).step_by(41)) {
        let mut bad = good.clone();
        bad[i] ^= 0x41;
        let _ = load(&bad);
    }
    let mut bad = good.clone();
    bad[50_000] ^= 1;
    assert!(load(&bad).unwrap_err().to_string().contains("damaged"));
    let old = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    assert!(load(old).unwrap_err().to_string().contains("torch.save"));
}

/// A checkpoint with this program and one storage of four floats.
fn forged(program: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("x/data.pkl", options).unwrap();
    zip.write_all(program).unwrap();
    zip.start_file("x/data/0", options).unwrap();
    zip.write_all(&[0; 16]).unwrap();
    zip.finish().unwrap().into_inner()
}

fn tensor_program(numel: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut p = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu".to_vec();
    p.extend_from_slice(numel);
    p.extend_from_slice(b"tQ");
    p.extend_from_slice(offset);
    p.extend_from_slice(size);
    p.extend_from_slice(stride);
    p.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR.");
    p
}

#[test]
fn tensors_that_lie() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forged.pt");
    let load = |program: &[u8]| {
        std::fs::write(&path, forged(program)).unwrap();
        torch::read(&path)
    };
    let (k1, k4, k9) = (&b"K\x01\x85"[..], &b"K\x04\x85"[..], &b"K\x09\x85"[..]);
    let huge = &b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x3f\x85"[..];
    assert_eq!(
        load(&tensor_program(b"K\x04", b"K\x00", k4, k1)).unwrap(),
        Value::Array(Array::f32(&[4], vec![0.0; 4]).unwrap())
    );
    for (numel, offset, size, stride) in [
        (&b"K\x04"[..], &b"K\x01"[..], k4, k1),
        (b"K\x04", b"K\x00", k9, k1),
        (b"K\x09", b"K\x00", k9, k1),
        (b"K\x04", b"K\x00", k4, k9),
        (b"K\x04", b"K\x00", huge, &b"K\x00\x85"[..]),
        (b"K\x04", b"K\x00", k4, huge),
        (&huge[..10], b"K\x00", huge, k1),
        (b"K\x04", b"J\xff\xff\xff\xff", k4, k1),
        (b"K\x04", b"K\x00", k4, b"K\x01K\x01\x86"),
    ] {
        assert!(
            load(&tensor_program(numel, offset, size, stride)).is_err(),
            "{numel:?} {offset:?} {size:?} {stride:?}"
        );
    }
    let e = load(b"cos\nsystem\n(S'x'\ntR.").unwrap_err().to_string();
    assert!(e.contains("os.system"), "{e}");
}

#[test]
fn golden_arrays_survive_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pkl");
    let weights = npy::read_npz(&golden("unit/decoder_fourier_weights.npz")).unwrap();
    let tree = Value::Dict(weights.iter().map(|(k, a)| (Value::str(k), Value::Array(a.clone()))).collect());
    torch::write(&path, &tree).unwrap();
    assert_eq!(torch::read(&path).unwrap(), tree);
}
