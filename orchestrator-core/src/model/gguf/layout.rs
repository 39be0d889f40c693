//! Where tensors lie in the file: sizes, alignment, bounds and overlaps.

use super::error::{GgufError, shown};
use super::{GgufTensor, GgufTensorType, UnknownTensorTypes};

/// A tensor as the header lists it, not checked yet.
pub(super) struct TensorEntry {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) type_number: u32,
    pub(super) offset: u64,
}

impl TensorEntry {
    /// A name of one byte, no dimensions, the type and the offset.
    pub(super) const LEAST_BYTES: u64 = 8 + 1 + 4 + 4 + 8;
}

/// What the file offers its tensors.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) data_offset: u64,
    pub(super) alignment: u32,
    pub(super) file_bytes: u64,
}

/// Sizes the tensors and checks where they lie.
pub(super) fn place_tensors(
    entries: Vec<TensorEntry>,
    place: Place,
    unknown_types: UnknownTensorTypes,
) -> Result<Vec<GgufTensor>, GgufError> {
    let mut tensors = entries.into_iter().map(|entry| size_tensor(entry, place, unknown_types)).collect::<Result<Vec<_>, _>>()?;
    check_end(&tensors, place)?;

    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|index| (tensors[*index].offset, tensors[*index].bytes));
    let data_bytes = place.file_bytes.saturating_sub(place.data_offset);
    for (position, index) in order.iter().enumerate() {
        let next = order.get(position + 1);
        let room_end = next.map_or(data_bytes, |next| tensors[*next].offset);
        let tensor = &mut tensors[*index];
        if tensor.tensor_type.name().is_none() {
            tensor.bytes = room_end.saturating_sub(tensor.offset);
        } else if let Some(next) = next
            && tensor.offset.saturating_add(tensor.bytes) > room_end
        {
            let (first, second) = (shown(&tensors[*index].name), shown(&tensors[*next].name));
            return Err(GgufError::Overlap { first, second });
        }
    }
    Ok(tensors)
}

fn size_tensor(entry: TensorEntry, place: Place, unknown_types: UnknownTensorTypes) -> Result<GgufTensor, GgufError> {
    let TensorEntry { name, shape, type_number, offset } = entry;
    let tensor_type = GgufTensorType::from_number(type_number);
    if tensor_type.name().is_none() && unknown_types == UnknownTensorTypes::Refuse {
        return Err(GgufError::UnknownTensorType { tensor: shown(&name), found: type_number });
    }
    let bad_shape = |shape: &[u64], problem| GgufError::BadShape {
        tensor: shown(&name),
        shape: shape.to_vec(),
        tensor_type: tensor_type.to_string(),
        problem,
    };
    let product = shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
    // The engines count in signed numbers.
    if product.and_then(|product| i64::try_from(product).ok()).is_none() {
        return Err(bad_shape(&shape, "the product is too large"));
    }
    let bytes = match tensor_type.block_numbers() {
        None => 0,
        Some(block) if shape.first().copied().unwrap_or(1) % block != 0 => {
            return Err(bad_shape(&shape, "the first dimension is not a whole number of blocks"));
        }
        Some(_) => tensor_type.bytes_of(&shape).ok_or_else(|| bad_shape(&shape, "the size is too large"))?,
    };
    if offset % u64::from(place.alignment) != 0 {
        return Err(GgufError::Misaligned { tensor: shown(&name), offset, alignment: place.alignment });
    }
    Ok(GgufTensor { name, tensor_type, shape, offset, bytes })
}

/// Checks that the tensor that ends last ends inside the file.
fn check_end(tensors: &[GgufTensor], place: Place) -> Result<(), GgufError> {
    let end = |tensor: &GgufTensor| place.data_offset.saturating_add(tensor.offset).saturating_add(tensor.bytes);
    let Some(last) = tensors.iter().max_by_key(|tensor| end(tensor)) else {
        return Ok(());
    };
    let (needed, file_bytes) = (end(last), place.file_bytes);
    if needed <= file_bytes {
        return Ok(());
    }
    Err(GgufError::DataCutOff { tensor: shown(&last.name), needed, file_bytes, missing: needed - file_bytes })
}
