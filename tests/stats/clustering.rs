//! Average linkage against SciPy 1.17; k-means against what its definition promises.

use kinesome::stats::Matrix;
use kinesome::stats::kmeans::kmeans;
use kinesome::stats::linkage::{average_linkage, leaf_order};

use crate::{blobs, close, sample};

#[test]
fn linkage_agrees_with_scipy() {
    let x = sample(36, 1);
    let merges = average_linkage(Matrix::new(&x, 3).unwrap()).unwrap();
    let expected = [
        (1, 8, 2.228685939208349, 2),
        (3, 4, 2.416223244161226, 2),
        (5, 12, 3.412618018897869, 3),
        (2, 11, 3.86291588578175, 2),
        (10, 13, 5.00173009439639, 3),
        (7, 9, 6.513413893410659, 2),
        (0, 15, 6.72560280317521, 3),
        (6, 16, 7.6290692819053545, 4),
        (14, 18, 7.760760422899761, 6),
        (17, 19, 12.156493595801571, 6),
        (20, 21, 12.828932970554051, 12),
    ];
    assert_eq!(merges.len(), expected.len());
    for (merge, (a, b, distance, size)) in merges.iter().zip(expected) {
        assert_eq!((merge.clusters, merge.size), ([a, b], size));
        close(merge.distance, distance, 1e-13);
    }
    assert_eq!(leaf_order(12, &merges), [5, 1, 8, 0, 2, 11, 7, 9, 6, 10, 3, 4]);
}

#[test]
fn linkage_of_few_and_equal_points() {
    let merges = |x: &[f32]| average_linkage(Matrix::new(x, 1).unwrap()).unwrap();
    assert_eq!(leaf_order(0, &merges(&[])), Vec::<usize>::new());
    assert_eq!(leaf_order(1, &merges(&[4.0])), [0]);
    let mut order = leaf_order(5, &merges(&[2.0; 5]));
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn finds_separate_blobs() {
    // Centres about 20 apart with standard deviation 1: no point is nearer to a wrong mean.
    let x = blobs(20_000, 8, 6, 10.0, 3);
    let x = Matrix::new(&x, 8).unwrap();
    let found = kmeans(x, 6, 10, 0).unwrap();
    for i in 0..x.rows() {
        assert_eq!(found.labels[i], found.labels[i % 6]);
    }
    assert_eq!(
        found.counts,
        (0..6).map(|j| found.labels.iter().filter(|l| **l == j).count()).collect::<Vec<_>>()
    );
    for (j, &i) in found.center_indices.iter().enumerate() {
        assert_eq!(found.labels[i] as usize, j);
        assert_eq!(x.row(i), &found.centers[j * 8..(j + 1) * 8]);
    }
    // Mean squared distance to the mean is d (n - k) / n = 8; 1 % is 4 standard errors.
    close(found.inertia / x.rows() as f64, 8.0, 0.08);
    let order = leaf_order(6, &average_linkage(Matrix::new(&found.centers, 8).unwrap()).unwrap());
    let merged_first = average_linkage(Matrix::new(&found.centers, 8).unwrap()).unwrap()[0].clusters;
    assert_eq!(merged_first[0].abs_diff(merged_first[1]), 1, "nearest centres stand side by side: {order:?}");
}

#[test]
fn same_on_any_number_of_threads() {
    let x = blobs(30_000, 3, 40, 2.0, 9);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| kmeans(Matrix::new(&x, 3).unwrap(), 20, 10, 5).unwrap())
    };
    assert_eq!(run(1), run(3));
    let other = kmeans(Matrix::new(&x, 3).unwrap(), 20, 10, 6).unwrap();
    assert_ne!(other.labels, run(1).labels);
}

#[test]
fn hard_cases() {
    let equal = [1.0f32; 10];
    let found = kmeans(Matrix::new(&equal, 1).unwrap(), 3, 10, 0).unwrap();
    assert_eq!((found.centers, found.inertia, found.counts.iter().sum::<usize>()), (vec![1.0; 3], 0.0, 10));
    let three = [0.0f32, 5.0, 9.0];
    let found = kmeans(Matrix::new(&three, 1).unwrap(), 3, 10, 0).unwrap();
    assert_eq!((found.counts, found.inertia), (vec![1; 3], 0.0));
    assert!(kmeans(Matrix::new(&three, 1).unwrap(), 4, 10, 0).is_err());
    assert!(kmeans(Matrix::new(&three, 1).unwrap(), 0, 10, 0).is_err());
    assert!(kmeans(Matrix::new(&[0.0, f32::INFINITY], 1).unwrap(), 1, 10, 0).is_err());
}
