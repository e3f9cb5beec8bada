// A 3x3 depthwise convolution for XNNPACK: int8, one scale for each channel, 32 channels at a time, AVX-512 VNNI.
//
// Same arguments, packed weights and results, to the bit, as XNNPACK's own kernels of the shape 9p32c; check_dwconv.c
// compares them. Three ideas make it faster than those:
//
//   - VPDPBUSD multiplies and adds four bytes at once. The three inputs of a column, bytes a, b and c of a channel, become
//     the four bytes a b c c, and meet the weights wa wb wc 0. It wants unsigned inputs: each is moved up by 128, and 128
//     times the sum of the weights is taken off the bias.
//   - Channels outside, pixels inside: the weights of 32 channels stay in registers for a row of pixels.
//   - Where the next pixel's columns are this one's (stride 1: two of three, stride 2: one), they are not loaded again.
//     Pointers to a pixel's nine inputs lie column by column, and those of the next pixel `input_stride` further on, so
//     that this can be seen from the stride.

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#include "xnnpack/dwconv.h"

#define TILE 32
#define INLINE static inline __attribute__((always_inline))
// Without these GCC keeps the registers in memory at -O2.
#define UNROLL _Pragma("GCC unroll 4")

// The weights of 32 channels. Lanes lie as UNPACK leaves them: vector i has channels 4i to 4i + 3 and 16 more than those.
struct tile {
  __m256i weights[3][4];
  __m256i bias[4];
  __m256 scale[4];
};

// Where the inputs of these channels are.
struct source {
  size_t offset;
  const int8_t* zero;
  size_t channel;
  __mmask32 mask;
};

struct limits {
  __m256 max_less_zero_point;
  __m256i zero_point;
  __m256i min;
};

INLINE __m256i two_halves(const void* low, const void* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
}

// Bytes a, b and c of each channel as a b c c.
INLINE void interleave(const __m256i v[3], __m256i fours[4]) {
  const __m256i ab_low = _mm256_unpacklo_epi8(v[0], v[1]), ab_high = _mm256_unpackhi_epi8(v[0], v[1]);
  const __m256i cc_low = _mm256_unpacklo_epi8(v[2], v[2]), cc_high = _mm256_unpackhi_epi8(v[2], v[2]);
  fours[0] = _mm256_unpacklo_epi16(ab_low, cc_low);
  fours[1] = _mm256_unpackhi_epi16(ab_low, cc_low);
  fours[2] = _mm256_unpacklo_epi16(ab_high, cc_high);
  fours[3] = _mm256_unpackhi_epi16(ab_high, cc_high);
}

INLINE void load_column(const int8_t** input, const struct source* source, __m256i fours[4]) {
  __m256i v[3];
  UNROLL for (int row = 0; row < 3; row++) {
    const int8_t* pixel = input[row];
    if (pixel != source->zero) pixel += source->offset;
    v[row] = _mm256_maskz_loadu_epi8(source->mask, pixel + source->channel);
    v[row] = _mm256_xor_si256(v[row], _mm256_set1_epi8(-128));
  }
  interleave(v, fours);
}

// Packed weights of a tile: 32 biases, nine times 32 weights, 32 scales.
INLINE const char* load_tile(const char* packed, struct tile* tile) {
  const char* weights = packed + TILE * sizeof(int32_t);
  const char* scales = weights + 9 * TILE;
  __m256i moved[4];
  UNROLL for (int i = 0; i < 4; i++) moved[i] = _mm256_setzero_si256();
  UNROLL for (int column = 0; column < 3; column++) {
    __m256i v[3];
    UNROLL for (int row = 0; row < 3; row++) v[row] = _mm256_loadu_si256((const void*) (weights + (3 * column + row) * TILE));
    interleave(v, tile->weights[column]);
    UNROLL for (int i = 0; i < 4; i++) {
      tile->weights[column][i] = _mm256_and_si256(tile->weights[column][i], _mm256_set1_epi32(0x00FFFFFF));
      moved[i] = _mm256_dpbusd_epi32(moved[i], _mm256_set1_epi8(-128), tile->weights[column][i]);
    }
  }
  UNROLL for (int i = 0; i < 4; i++) {
    tile->bias[i] = _mm256_sub_epi32(two_halves(packed + 16 * i, packed + 16 * i + 64), moved[i]);
    tile->scale[i] = _mm256_castsi256_ps(two_halves(scales + 16 * i, scales + 16 * i + 64));
  }
  return scales + TILE * sizeof(float);
}

// A row of pixels; `kept` of a pixel's columns are the next one's.
INLINE void convolve(const int kept, size_t width, const int8_t** input, intptr_t input_stride, const struct source* source,
                     const struct tile* tile, const struct limits* limits, int8_t* output, size_t output_stride) {
  __m256i fours[3][4];
  UNROLL for (int column = 0; column < kept; column++) load_column(input + 3 * column, source, fours[column + 3 - kept]);
  do {
    UNROLL for (int column = 0; column < kept; column++) {
      UNROLL for (int i = 0; i < 4; i++) fours[column][i] = fours[column + 3 - kept][i];
    }
    UNROLL for (int column = kept; column < 3; column++) load_column(input + 3 * column, source, fours[column]);
    __m256i rounded[4];
    UNROLL for (int i = 0; i < 4; i++) {
      __m256i sum = tile->bias[i];
      UNROLL for (int column = 0; column < 3; column++) {
        sum = _mm256_dpbusd_epi32(sum, fours[column][i], tile->weights[column][i]);
      }
      const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), tile->scale[i]);
      rounded[i] = _mm256_cvtps_epi32(_mm256_min_ps(scaled, limits->max_less_zero_point));
    }
    // Packing undoes the order that unpacking made.
    const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(rounded[0], rounded[1]), limits->zero_point);
    const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(rounded[2], rounded[3]), limits->zero_point);
    const __m256i bytes = _mm256_max_epi8(_mm256_packs_epi16(low, high), limits->min);
    _mm256_mask_storeu_epi8(output + source->channel, source->mask, bytes);
    output += output_stride;
    input = (const int8_t**) ((uintptr_t) input + input_stride);
  } while (--width != 0);
}

void xnn_qs8_qc8w_dwconv_minmax_fp32_ukernel_9p32c__avx512vnni(
    size_t channels, size_t output_width, const int8_t** input, const void* weights, int8_t* output, intptr_t input_stride,
    size_t output_increment, size_t input_offset, const int8_t* zero,
    const union xnn_qs8_qc8w_conv_minmax_params params[restrict XNN_MIN_ELEMENTS(1)]) XNN_OOB_READS {
  const int32_t zero_point = params->fp32_scalar.output_zero_point;
  const struct limits limits = {
      .max_less_zero_point = _mm256_set1_ps((float) (params->fp32_scalar.output_max - zero_point)),
      .zero_point = _mm256_set1_epi16((int16_t) zero_point),
      .min = _mm256_set1_epi8((int8_t) params->fp32_scalar.output_min),
  };
  const size_t output_stride = channels + output_increment;
  for (size_t channel = 0; channel < channels; channel += TILE) {
    const size_t left = channels - channel;
    const struct source source = {
        .offset = input_offset, .zero = zero, .channel = channel,
        .mask = left < TILE ? (UINT32_C(1) << left) - 1 : UINT32_MAX,
    };
    struct tile tile;
    weights = load_tile(weights, &tile);
    const size_t columns = input_stride > 0 && input_stride % (3 * sizeof(void*)) == 0 ? input_stride / (3 * sizeof(void*)) : 0;
    if (columns == 1) {
      convolve(2, output_width, input, input_stride, &source, &tile, &limits, output, output_stride);
    } else if (columns == 2) {
      convolve(1, output_width, input, input_stride, &source, &tile, &limits, output, output_stride);
    } else {
      convolve(0, output_width, input, input_stride, &source, &tile, &limits, output, output_stride);
    }
  }
}
