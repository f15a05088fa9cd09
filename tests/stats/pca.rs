//! PCA against scikit-learn 1.9 (f64 on the same numbers).

use kinesome::stats::Matrix;
use kinesome::stats::pca::Pca;

use crate::{close, sample};

#[test]
fn agrees_with_scikit_learn() {
    let scale = [4.0, 2.0, 1.0, 0.5];
    let x: Vec<f32> = sample(160, 2).iter().enumerate().map(|(i, v)| v * scale[i % 4]).collect();
    let x = Matrix::new(&x, 4).unwrap();
    let pca = Pca::fit(x, 4).unwrap();
    #[rustfmt::skip]
    let components = [
        0.996682360534717, 0.07529215079710673, 0.028654643685382, 0.011587735868284198,
        -0.07444488782414331, 0.9964967304674706, -0.035040178928925136, 0.01498034395866979,
        -0.03028548101681534, 0.03393301355499795, 0.9958946861443624, -0.07826310970105062,
        -0.012846031113710597, -0.013187448087574771, 0.0783892299063779, 0.9967528276018324,
    ];
    // Both in f64 on well-separated eigenvalues: the covariance route loses a few digits of 1e-16.
    pca.components.iter().zip(components).for_each(|(a, b)| close(*a, b, 1e-11));
    let variance = [317.05522045885505, 94.44450067322599, 20.59491364247103, 5.508462055375784];
    pca.explained_variance.iter().zip(variance).for_each(|(a, b)| close(*a, b, 1e-10));
    let ratio = [0.7245269120709099, 0.21582228589650804, 0.047062997935033206, 0.01258780409754874];
    pca.explained_variance_ratio.iter().zip(ratio).for_each(|(a, b)| close(*a, b, 1e-12));
    let scores = pca.transform(x).unwrap();
    let first = [26.354396481437977, -9.390222985742263, 7.744477367222146, 1.3551633154612714];
    // Scores are f32: half a unit in the last place of 26 is 1e-6.
    scores.iter().zip(first).for_each(|(a, b)| close(f64::from(*a), b, 2e-6));
    let back = pca.inverse_transform(Matrix::new(&scores, 4).unwrap()).unwrap();
    back.iter().zip(x.data()).for_each(|(a, b)| close(f64::from(*a), f64::from(*b), 1e-5));
}

#[test]
fn more_columns_than_rows() {
    let x = sample(45, 3);
    let pca = Pca::fit(Matrix::new(&x, 9).unwrap(), 3).unwrap();
    #[rustfmt::skip]
    let components = [
        0.3817933124555181, -0.37251873955929904, 0.4431777767401905, 0.2515129093125984, 0.42367283265135636,
        -0.12111049496108146, 0.2499301568421089, 0.4376781029778202, -0.08720518133804998,
        -0.039573581908625845, 0.35143729469388796, 0.12033992768957008, -0.3249002571429216, -0.052956773834279755,
        0.6084314799679519, 0.12320047155549874, 0.4722277225824626, -0.37909526553025247,
        -0.06746550652453766, -0.46813985380962236, 0.026368327568217876, -0.11453155940947302, -0.5636674796715901,
        0.1853087757720938, 0.5826119776504457, 0.016716702918709622, 0.26590257845548115,
    ];
    pca.components.iter().zip(components).for_each(|(a, b)| close(*a, b, 1e-11));
    let ratio = [0.5370426435916843, 0.20992670766913285, 0.1610831683436014];
    pca.explained_variance_ratio.iter().zip(ratio).for_each(|(a, b)| close(*a, b, 1e-12));
}

#[test]
fn refuses_what_it_cannot_fit() {
    let one = [1.0, 2.0];
    assert!(Pca::fit(Matrix::new(&one, 2).unwrap(), 1).is_err());
    let bad = [1.0, 2.0, f32::NAN, 4.0];
    let message = Pca::fit(Matrix::new(&bad, 2).unwrap(), 1).unwrap_err().to_string();
    assert!(message.contains("row 1 column 0"), "{message}");
    assert!(Matrix::new(&bad, 3).is_err() && Matrix::new(&bad, 0).is_err());
    let constant = [3.0; 8];
    let pca = Pca::fit(Matrix::new(&constant, 2).unwrap(), 2).unwrap();
    assert_eq!(pca.explained_variance_ratio, [0.0, 0.0]);
    let wide = [0.0; 3];
    assert!(pca.transform(Matrix::new(&wide, 3).unwrap()).is_err());
}
