//! The k-d tree against all pairs; graph paths against Floyd and Warshall's algorithm and a case by hand.

use kinesome::stats::Matrix;
use kinesome::stats::graph::{Graph, graph_traversal};
use kinesome::stats::matrix::squared_distance;
use kinesome::stats::neighbours::nearest_neighbours;

use crate::{blobs, close};

fn by_all_pairs(x: Matrix, k: usize) -> Vec<(u32, f32)> {
    let row = |i: usize| {
        let mut all: Vec<(f32, u32)> =
            (0..x.rows()).map(|j| (squared_distance(x.row(i), x.row(j)), j as u32)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.truncate(k);
        all.into_iter().map(|(d, j)| (j, d.sqrt()))
    };
    (0..x.rows()).flat_map(row).collect()
}

#[test]
fn tree_is_exact() {
    // With duplicates and ties (rounded coordinates), and beyond the tree's 16 dimensions.
    for (n, d, round) in
        [(700, 1, false), (900, 3, true), (800, 8, false), (300, 16, false), (200, 20, false)]
    {
        let mut x = blobs(n, d, 5, 3.0, 1);
        if round {
            x.iter_mut().for_each(|v| *v = v.round());
        }
        let x = Matrix::new(&x, d).unwrap();
        let found = nearest_neighbours(x, 12).unwrap();
        let pairs: Vec<(u32, f32)> =
            found.indices.iter().copied().zip(found.distances.iter().copied()).collect();
        assert!(pairs == by_all_pairs(x, 12), "n = {n}, d = {d}");
    }
    let few = [1.0f32, 2.0];
    let found = nearest_neighbours(Matrix::new(&few, 1).unwrap(), 9).unwrap();
    assert_eq!((found.k, found.indices, found.distances), (2, vec![0, 1, 1, 0], vec![0.0, 1.0, 0.0, 1.0]));
    assert_eq!(nearest_neighbours(Matrix::new(&[], 3).unwrap(), 4).unwrap().points(), 0);
    assert!(nearest_neighbours(Matrix::new(&[f32::NAN], 1).unwrap(), 1).is_err());
}

#[test]
fn path_keeps_to_the_data() {
    // Points on three sides of a square, 1 apart: the way from end to end leads along the sides.
    let side = |i: i32| i as f32;
    let mut x: Vec<f32> = (0..10).flat_map(|i| [0.0, side(i)]).collect();
    x.extend((0..10).flat_map(|i| [side(i), 10.0]));
    x.extend((0..10).flat_map(|i| [10.0, 10.0 - side(i)]));
    let x = Matrix::new(&x, 2).unwrap();
    // Distances sorted: 30 times 0, 58 times 1, then the root of 2 across corners: the 90th is the threshold.
    let path = graph_traversal(x, &[0, 29], 4, 3.0).unwrap();
    assert_eq!(path.indices, (0..30).collect::<Vec<_>>());
    close(path.length, 29.0, 1e-6);
    let there_and_back = graph_traversal(x, &[0, 3, 1], 4, 3.0).unwrap();
    assert_eq!(there_and_back.indices, [0, 1, 2, 3, 2, 1]);

    let apart = [0.0f32, 1.0, 50.0, 51.0];
    let message = graph_traversal(Matrix::new(&apart, 1).unwrap(), &[0, 3], 2, 2.0).unwrap_err().to_string();
    assert!(message.contains("raise the number of neighbours"), "{message}");
    assert!(graph_traversal(x, &[0], 4, 3.0).is_err() && graph_traversal(x, &[0, 30], 4, 3.0).is_err());
}

#[test]
fn dijkstra_agrees_with_floyd_warshall() {
    let x = blobs(120, 3, 4, 1.5, 2);
    let neighbours = nearest_neighbours(Matrix::new(&x, 3).unwrap(), 10).unwrap();
    let graph = Graph::new(&neighbours, 5.0);
    // Distances strictly below the 600th smallest, without the 120 self distances.
    assert_eq!(graph.edges(), 599 - 120);
    let n = 120;
    let mut length = vec![f64::INFINITY; n * n];
    for i in 0..n {
        for (j, d) in neighbours.of(i).filter(|(_, d)| *d < graph.max_distance) {
            length[i * n + j] = f64::from(d);
        }
    }
    for m in 0..n {
        for i in 0..n {
            for j in 0..n {
                length[i * n + j] = length[i * n + j].min(length[i * n + m] + length[m * n + j]);
            }
        }
    }
    let mut reached = 0;
    for i in 0..n {
        for j in (0..n).filter(|j| *j != i) {
            match graph.shortest_path(i, j) {
                Some(path) => {
                    close(path.length, length[i * n + j], 1e-9);
                    reached += 1;
                }
                None => assert!(length[i * n + j].is_infinite()),
            }
        }
    }
    assert!(reached > 1000, "{reached}");
    assert!(graph.shortest_path(0, n).is_none());
}
