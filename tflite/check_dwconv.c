// Compares dwconv_avx512vnni.c with XNNPACK's portable kernel, bit for bit, on random layers. compile.sh runs it where this
// machine has AVX-512 VNNI. Exit status 0: equal; 77: this machine cannot run it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xnnpack/dwconv.h"

#define CASES 20000
#define CHANNELS_MAX 200
#define WIDTH_MAX 12
#define PIXELS (3 * (3 * WIDTH_MAX + 3))
#define GUARD 64

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint32_t random_below(uint32_t bound) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t) (state >> 32) % bound;
}

// The layout is that of the tile: biases, nine times weights, scales.
static void pack(size_t tile, size_t channels, const int32_t* bias, const int8_t* weights, const float* scales, char* packed) {
  for (size_t first = 0; first < channels; first += tile) {
    memset(packed, 0, tile * (2 * sizeof(int32_t) + 9));
    for (size_t i = 0; i < tile && first + i < channels; i++) {
      memcpy(packed + 4 * i, &bias[first + i], 4);
      for (size_t tap = 0; tap < 9; tap++) packed[4 * tile + tap * tile + i] = weights[9 * (first + i) + tap];
      memcpy(packed + 13 * tile + 4 * i, &scales[first + i], 4);
    }
    packed += tile * (2 * sizeof(int32_t) + 9);
  }
}

int main(void) {
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw")) {
    puts("skipped: no AVX-512 VNNI here");
    return 77;
  }
  static int8_t pixels[PIXELS][CHANNELS_MAX + GUARD], zero[CHANNELS_MAX + GUARD], weights[9 * CHANNELS_MAX];
  static int8_t ours[WIDTH_MAX * (CHANNELS_MAX + 8) + GUARD], theirs[sizeof ours];
  static char packed[(CHANNELS_MAX + 64) * 17], packed_one[(CHANNELS_MAX + 64) * 17];
  static int32_t bias[CHANNELS_MAX];
  static float scales[CHANNELS_MAX];
  for (int number = 0; number < CASES; number++) {
    const size_t channels = 1 + random_below(CHANNELS_MAX), width = 1 + random_below(WIDTH_MAX);
    const size_t increment = random_below(8), stride = 1 + random_below(9), offset = random_below(3) * 8;
    // Extremes now and then, and often enough beside each other.
    const uint32_t extreme = random_below(3);
    for (size_t i = 0; i < PIXELS; i++)
      for (size_t c = 0; c < channels + offset; c++)
        pixels[i][c] = extreme ? (int8_t) random_below(256) : random_below(2) ? 127 : -128;
    for (size_t c = 0; c < channels; c++) {
      zero[c] = (int8_t) random_below(256);
      bias[c] = (int32_t) random_below(200000) - 100000;
      scales[c] = (float) (1 + random_below(1000)) / (extreme == 2 ? 65536.0f : 1000.0f);
      for (size_t tap = 0; tap < 9; tap++)
        weights[9 * c + tap] = extreme ? (int8_t) ((int) random_below(255) - 127) : random_below(2) ? 127 : -127;
    }
    // Strides in pointers: 3 and 6 keep columns, the others do not.
    const int8_t* input[PIXELS];
    for (size_t i = 0; i < PIXELS; i++) input[i] = random_below(6) ? pixels[i] : zero;
    pack(32, channels, bias, weights, scales, packed);
    pack(1, channels, bias, weights, scales, packed_one);
    union xnn_qs8_qc8w_conv_minmax_params params;
    memset(&params, 0, sizeof params);
    const int low = (int) random_below(256) - 128, high = low + 1 + (int) random_below(256);
    params.fp32_scalar.output_zero_point = (int16_t) ((int) random_below(256) - 128);
    params.fp32_scalar.output_min = (int16_t) low;
    params.fp32_scalar.output_max = (int16_t) (high > 127 ? 127 : high);
    memset(ours, 0x55, sizeof ours), memset(theirs, 0x55, sizeof theirs);
    const intptr_t step = (intptr_t) (stride * sizeof(void*));
    xnn_qs8_qc8w_dwconv_minmax_fp32_ukernel_9p32c__avx512vnni(channels, width, input, packed, ours, step, increment, offset, zero, &params);
    xnn_qs8_qc8w_dwconv_minmax_fp32_ukernel_9p1c__scalar_lrintf(channels, width, input, packed_one, theirs, step, increment, offset, zero, &params);
    if (memcmp(ours, theirs, sizeof ours) != 0) {
      printf("case %d differs: %zu channels, %zu pixels, stride %zu\n", number, channels, width, stride);
      return 1;
    }
  }
  printf("%d random layers: equal\n", CASES);
  return 0;
}
