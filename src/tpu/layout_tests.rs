#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use proptest::prelude::*;

use super::*;
use crate::tpu::test_models;

fn layer(dimensions: [usize; 3], data_type: DataType, arrangement: Arrangement) -> Layer {
    let elements = dimensions.iter().product();
    Layer {
        name: "layer".to_owned(),
        dimensions,
        elements,
        data_type,
        padded_bytes: elements * data_type.bytes(),
        executions: 1,
        zero_point: 0,
        scale: 1.0,
        shape: None,
        arrangement,
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|k| u8::try_from((31 * k + 7) % 251).unwrap())
        .collect()
}

/// A grid of tiles of equal size, the last ones smaller, each padded to `channels_padded`.
fn tiled(
    [rows, columns, channels]: [usize; 3],
    [tile_rows, tile_columns]: [usize; 2],
    channels_padded: usize,
    data_type: DataType,
) -> Layer {
    let across = columns.div_ceil(tile_columns);
    let mut tile_offset = Vec::new();
    let mut next = 0;
    for row in (0..rows).step_by(tile_rows) {
        for column in (0..columns).step_by(tile_columns) {
            tile_offset.push(next);
            let height = tile_rows.min(rows - row);
            next += height * tile_columns.min(columns - column) * channels_padded;
        }
    }
    let width = |column: usize| {
        let first = column / tile_columns * tile_columns;
        tile_columns.min(columns - first)
    };
    let maps = TileMaps {
        tile_of_row: (0..rows).map(|row| row / tile_rows * across).collect(),
        tile_of_column: (0..columns).map(|column| column / tile_columns).collect(),
        tile_offset,
        column_offset: (0..columns)
            .map(|column| column % tile_columns * channels_padded)
            .collect(),
        row_in_tile: (0..rows).map(|row| row % tile_rows).collect(),
        row_length: (0..columns)
            .map(|column| width(column) * channels_padded)
            .collect(),
    };
    let mut layer = layer(
        [rows, columns, channels],
        data_type,
        Arrangement::Tiles(maps),
    );
    layer.padded_bytes = next * data_type.bytes();
    layer
}

/// What `decode` must do, element by element.
fn decoded(layer: &Layer, wire: &[u8]) -> Vec<u8> {
    let [rows, columns, channels] = layer.dimensions;
    let size = layer.data_type.bytes();
    let Arrangement::Tiles(maps) = &layer.arrangement else {
        unreachable!("a tiled layer")
    };
    let mut tensor = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            for channel in 0..channels {
                let tile = maps.tile_of_row[row] + maps.tile_of_column[column];
                let element = maps.tile_offset[tile]
                    + maps.row_in_tile[row] * maps.row_length[column]
                    + maps.column_offset[column]
                    + channel;
                let mut value = wire[element * size..(element + 1) * size].to_vec();
                if layer.data_type.is_sign_flipped() {
                    *value.last_mut().unwrap() ^= 0x80;
                }
                tensor.extend(value);
            }
        }
    }
    tensor
}

const TYPES: [DataType; 5] = [
    DataType::Unsigned8,
    DataType::Signed8,
    DataType::Signed16,
    DataType::Signed32,
    DataType::Single,
];

proptest! {
    #[test]
    fn tiles_become_rows(
        dimensions in (1_usize..12, 2_usize..12, 1_usize..6),
        tile in (1_usize..5, 1_usize..5),
        padding in 0_usize..3,
        kind in 0_usize..5,
    ) {
        let (rows, columns, channels) = dimensions;
        let shape = [rows, columns, channels];
        let layer = tiled(shape, [tile.0, tile.1], channels + padding, TYPES[kind]);
        let layout = OutputLayout::new(&layer).unwrap();
        let wire = pattern(layer.wire_bytes());
        let mut tensor = vec![0; layer.actual_bytes()];
        layout.decode(&wire, &mut tensor).unwrap();
        prop_assert_eq!(tensor, decoded(&layer, &wire));
    }

    #[test]
    fn slices_are_put_where_their_indices_say(
        shape in (1_usize..3, 1_usize..6, 1_usize..6, 1_usize..5),
        cut in 0_usize..6,
        padding in 0_usize..3,
    ) {
        let (batch, rows, columns, channels) = shape;
        let whole: Vec<Span> = [batch, rows, columns, channels]
            .map(|length| Span { start: 0, end: length - 1 })
            .to_vec();
        // Two slices, cut between rows where there is more than one.
        let cut = (cut % rows).max(1).min(rows);
        let mut slices = Vec::new();
        let mut next = 0;
        for (start, end) in [(0, cut), (cut, rows)] {
            if start == end {
                continue;
            }
            let row = columns * (channels + padding);
            slices.push(Slice {
                shape: vec![whole[0], Span { start, end: end - 1 }, whole[2], whole[3]],
                strides: vec![row * (end - start), row, channels + padding, 1],
                offset: next,
            });
            next += row * (end - start) * batch;
        }
        let mut layer = layer([rows, columns, channels], DataType::Signed8, Arrangement::Linear);
        layer.elements *= batch;
        layer.padded_bytes = next;
        layer.shape = Some(whole);
        layer.arrangement = Arrangement::Slices(slices.clone());
        let wire = pattern(next);
        let layout = OutputLayout::new(&layer).unwrap();
        let mut tensor = vec![0; layer.actual_bytes()];
        layout.decode(&wire, &mut tensor).unwrap();
        for (index, value) in tensor.iter().enumerate() {
            let channel = index % channels;
            let column = index / channels % columns;
            let row = index / channels / columns % rows;
            let picture = index / channels / columns / rows;
            let slice = slices.iter().find(|s| (s.shape[1].start..=s.shape[1].end).contains(&row)).unwrap();
            let [a, b, c, _] = slice.strides[..] else { unreachable!("four strides") };
            let from = slice.offset + picture * a + (row - slice.shape[1].start) * b + column * c + channel;
            prop_assert_eq!(*value, wire[from] ^ 0x80);
        }
    }

    #[test]
    fn an_input_is_padded_per_execution_and_its_signs_are_flipped(
        elements in 1_usize..50,
        padding in 0_usize..9,
        executions in 1_usize..4,
        signed: bool,
    ) {
        let data_type = if signed { DataType::Signed16 } else { DataType::Unsigned16 };
        let mut layer = layer([1, 1, elements], data_type, Arrangement::Linear);
        layer.padded_bytes += padding;
        layer.executions = executions;
        let layout = InputLayout::new(&layer);
        let tensor = pattern(layout.tensor_bytes());
        let mut wire = vec![0xee; layout.wire_bytes()];
        layout.encode(&tensor, &mut wire).unwrap();
        for execution in 0..executions {
            for at in 0..2 * elements + padding {
                let expected = tensor.get(execution * 2 * elements + at).filter(|_| at < 2 * elements);
                let flip = if signed && at % 2 == 1 { 0x80 } else { 0 };
                let expected = expected.map_or(0, |byte| byte ^ flip);
                prop_assert_eq!(wire[execution * (2 * elements + padding) + at], expected);
            }
        }
    }
}

#[test]
fn an_output_that_runs_several_times_loses_the_padding_of_each() {
    let mut layer = layer([1, 1, 3], DataType::Unsigned8, Arrangement::Linear);
    layer.padded_bytes = 8;
    layer.executions = 2;
    let layout = OutputLayout::new(&layer).unwrap();
    let mut tensor = [0; 6];
    layout.decode(&pattern(16), &mut tensor).unwrap();
    let wire = pattern(16);
    assert_eq!(tensor[..3], wire[..3]);
    assert_eq!(tensor[3..], wire[8..11]);
}

#[test]
fn places_that_are_used_twice_or_never_are_refused() {
    let mut twice = tiled([4, 4, 2], [2, 2], 2, DataType::Unsigned8);
    let Arrangement::Tiles(maps) = &mut twice.arrangement else {
        unreachable!("a tiled layer")
    };
    maps.row_in_tile[1] = 0;
    assert!(matches!(
        OutputLayout::new(&twice),
        Err(LayoutError::Twice { .. })
    ));
    let mut outside = tiled([4, 4, 2], [2, 2], 2, DataType::Unsigned8);
    outside.padded_bytes -= 1;
    assert!(matches!(
        OutputLayout::new(&outside),
        Err(LayoutError::Outside { .. })
    ));
}

#[test]
fn buffers_of_another_length_are_refused() {
    let layer = tiled([4, 4, 2], [2, 2], 4, DataType::Unsigned8);
    let layout = OutputLayout::new(&layer).unwrap();
    assert!(layout.decode(&[0; 63], &mut [0; 32]).is_err());
    assert!(layout.decode(&[0; 64], &mut [0; 31]).is_err());
    let layout = InputLayout::new(&layer);
    assert!(layout.encode(&[0; 31], &mut [0; 64]).is_err());
    assert!(layout.encode(&[0; 32], &mut [0; 65]).is_err());
}

#[test]
fn wide_scores_are_narrowed_as_libedgetpu_does() {
    let mut narrow = [9; 4];
    let wide: Vec<u8> = [-1_i16, 0, 200, 300]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    Narrowing::Clamp.apply(&wide, &mut narrow);
    assert_eq!(narrow, [0, 0, 200, 255]);
    let wide: Vec<u8> = [-1.0_f32, 0.499, 0.5, 2.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let quantise = Narrowing::Quantise {
        scale: 1.0 / 256.0,
        zero_point: 0,
    };
    quantise.apply(&wide, &mut narrow);
    assert_eq!(narrow, [0, 127, 128, 255]);
}

#[test]
fn the_outputs_of_real_models_are_decoded_element_by_element() {
    for name in test_models::ALL {
        let Some(package) = test_models::package(name) else {
            return;
        };
        for layer in &package.main.outputs {
            let layout = OutputLayout::new(layer).unwrap();
            let wire = pattern(layout.wire_bytes());
            let mut tensor = vec![0; layout.tensor_bytes()];
            layout.decode(&wire, &mut tensor).unwrap();
            let [rows, columns, _] = layer.dimensions;
            if rows * columns > 1 {
                assert_eq!(tensor, decoded(layer, &wire), "{name} {}", layer.name);
            } else {
                assert_eq!(tensor, wire[..tensor.len()], "{name} {}", layer.name);
            }
        }
    }
}
