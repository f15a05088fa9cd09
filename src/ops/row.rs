//! What a row of the expression table is, and the macro that compiles one.
//!
//! A row is an elementwise operation: a scalar expression of its arguments, and one more expression for the
//! derivative by each argument. The macro compiles each expression three times (f32 loop, the same loop with
//! AVX2, f64 for the oracle) and keeps its text, from which the GPU devices make theirs.

/// One elementwise operation, or the derivative of one.
pub struct Row {
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    /// The expression as written in the table.
    pub text: &'static str,
    /// Over slices of equal length.
    pub sweep: fn(&[&[f32]], &mut [f32]),
    /// The same, compiled for AVX2: only to be called where the processor has it.
    pub sweep_avx2: unsafe fn(&[&[f32]], &mut [f32]),
    /// One point in f64.
    pub point: fn(&[f64]) -> f64,
    pub derivatives: &'static [Derivative],
}

/// The contribution to argument `by`: a row whose arguments are named after the arguments of its parent,
/// `y` (the parent's value) and `g` (the derivative of the loss by `y`).
pub struct Derivative {
    pub by: &'static str,
    pub row: Row,
}

impl Row {
    pub fn arity(&self) -> usize {
        self.arguments.len()
    }

    pub fn derivative(&'static self, argument: usize) -> Option<&'static Row> {
        self.derivatives.iter().find(|d| d.by == self.arguments[argument]).map(|d| &d.row)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.name, self.arguments.join(", "))
    }
}

macro_rules! row {
    ($name:expr, [$($argument:ident),*], $body:expr, $derivatives:expr) => {{
        #[inline(always)]
        #[allow(unused_imports)]
        fn single($($argument: f32),*) -> f32 {
            use crate::ops::vocabulary::single::*;
            $body
        }
        #[allow(unused_imports)]
        fn double($($argument: f64),*) -> f64 {
            use crate::ops::vocabulary::double::*;
            $body
        }
        #[inline(always)]
        fn sweep(inputs: &[&[f32]], out: &mut [f32]) {
            let n = out.len();
            let [$($argument),*] = inputs else { return };
            // All of one length, so that the loop needs no check.
            $(let $argument = &$argument[..n];)*
            for i in 0..n {
                out[i] = single($($argument[i]),*);
            }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
        fn sweep_avx2(inputs: &[&[f32]], out: &mut [f32]) {
            sweep(inputs, out)
        }
        fn point(inputs: &[f64]) -> f64 {
            let mut each = inputs.iter().copied();
            $(let $argument = each.next().unwrap_or(f64::NAN);)*
            double($($argument),*)
        }
        $crate::ops::row::Row {
            name: $name,
            arguments: &[$(stringify!($argument)),*],
            text: stringify!($body),
            sweep,
            sweep_avx2,
            point,
            derivatives: $derivatives,
        }
    }};
}
pub(crate) use row;

/// `name(arguments) = expression; [argument <- (arguments of the derivative) = expression;] ...`
macro_rules! rows {
    ($($(#[doc = $doc:literal])+ $name:ident($($argument:ident),*) = $body:expr;
        $([$by:ident <- ($($given:ident),*) = $derivative:expr;])*)*) => {
        $(
            $(#[doc = $doc])+
            #[allow(non_upper_case_globals)]
            pub static $name: $crate::ops::row::Row = $crate::ops::row::row!(
                stringify!($name), [$($argument),*], $body,
                &[$($crate::ops::row::Derivative {
                    by: stringify!($by),
                    row: $crate::ops::row::row!(
                        concat!("d_", stringify!($name), "_", stringify!($by)),
                        [$($given),*], $derivative, &[]),
                }),*]
            );
        )*
        /// Every row of the table.
        pub static ALL: &[&$crate::ops::row::Row] = &[$(&$name),*];
    };
}
pub(crate) use rows;
