//! The algebra of projective maps: 3×3 matrices, and eigenvectors of the 9×9 matrix they are
//! fitted by. All `f64`.

/// A 3×3 matrix by rows.
pub(super) type Matrix = [[f64; 3]; 3];

/// A point in homogeneous coordinates, or a row of a matrix.
pub(super) type Vector = [f64; 3];

/// `m · v`.
pub(super) fn apply(m: &Matrix, v: Vector) -> Vector {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// `a · b`.
pub(super) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let columns = [0, 1, 2].map(|column| apply(a, b.map(|row| row[column])));
    [0, 1, 2].map(|row| columns.map(|column| column[row]))
}

/// The determinant.
pub(super) fn determinant(m: &Matrix) -> f64 {
    let [a, b, c] = *m;
    let minors = cross(b, c);
    a[0] * minors[0] + a[1] * minors[1] + a[2] * minors[2]
}

/// The inverse; `None` where there is none in `f64`.
pub(super) fn inverse(m: &Matrix) -> Option<Matrix> {
    let determinant = determinant(m);
    let [a, b, c] = *m;
    // The columns of the adjugate are the cross products of the rows.
    let columns = [cross(b, c), cross(c, a), cross(a, b)];
    let inverse: Matrix =
        [0, 1, 2].map(|row| columns.map(|column: Vector| column[row] / determinant));
    inverse
        .iter()
        .flatten()
        .all(|value| value.is_finite())
        .then_some(inverse)
}

fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// A symmetric 9×9 matrix.
pub(super) type Symmetric9 = [[f64; 9]; 9];

/// Sweeps of Jacobi's method; it converges quadratically, and six sweeps are usual for this size.
const SWEEPS_MAX: usize = 60;

/// The eigenvalues of a symmetric matrix with their eigenvectors (unit length), in ascending order:
/// cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, section 8.5).
pub(super) fn eigen(mut a: Symmetric9) -> [(f64, [f64; 9]); 9] {
    let mut vectors = [[0.0; 9]; 9];
    for (index, row) in vectors.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    for _ in 0..SWEEPS_MAX {
        let mut rotated = false;
        for p in 0..9 {
            for q in p + 1..9 {
                // Below what the diagonal can resolve, nothing is left to rotate away.
                if a[p][q].abs() <= f64::EPSILON * 1e-3 * (a[p][p] * a[q][q]).abs().sqrt() {
                    continue;
                }
                rotated = true;
                rotate(&mut a, &mut vectors, p, q);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut pairs = std::array::from_fn(|index| (a[index][index], vectors.map(|row| row[index])));
    pairs.sort_by(|(one, _): &(f64, [f64; 9]), (other, _)| one.total_cmp(other));
    pairs
}

/// Turns the plane of axes `p` and `q` until they are uncoupled.
fn rotate(a: &mut Symmetric9, vectors: &mut Symmetric9, p: usize, q: usize) {
    let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for row in a.iter_mut().chain(vectors.iter_mut()) {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    let (row_p, row_q) = (a[p], a[q]);
    a[p] = std::array::from_fn(|column| turn(row_p[column], row_q[column]).0);
    a[q] = std::array::from_fn(|column| turn(row_p[column], row_q[column]).1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix_and_a_flat_one_has_none() {
        let m = [[2.0, 1.0, 0.5], [-1.0, 3.0, 4.0], [0.25, 0.0, 1.0]];
        let unit = product(&m, &inverse(&m).expect("an inverse"));
        for (row, values) in unit.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-12, "{unit:?}");
            }
        }
        let flat = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 1.0]];
        assert_eq!(inverse(&flat), None);
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_rebuild_the_matrix() {
        let entry = |row: usize, column: usize| {
            let (low, high) = (row.min(column), row.max(column));
            ((low * 7 + high * 13) % 11) as f64 - 4.5 + if row == column { 0.5 } else { 0.0 }
        };
        let matrix: Symmetric9 =
            std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)));
        let pairs = eigen(matrix);
        assert!(pairs.is_sorted_by(|(one, _), (other, _)| one <= other));
        for row in 0..9 {
            for column in 0..9 {
                let rebuilt: f64 = pairs.iter().map(|(l, v)| l * v[row] * v[column]).sum();
                assert!((rebuilt - matrix[row][column]).abs() < 1e-10);
                let dot: f64 = pairs.iter().map(|(_, v)| v[row] * v[column]).sum();
                let unit = if row == column { 1.0 } else { 0.0 };
                assert!((dot - unit).abs() < 1e-12);
            }
        }
    }
}
