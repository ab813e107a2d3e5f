/* The operations of a net in 8-bit integers. `fastcnn.interop.to_c` copies those that a net needs, with their
   comments. */

#include <math.h>
#include <stdint.h>

#include "both.c"

/* A number q of an array, from 0 to 255, stands for scale * (q - zero), with the scale and the zero of that array, and a
   weight q, from -127 to 127, for scale * q, with the scale of its filter. So a sum of products (q - zero) * q stands
   for scale * scale * sum. A factor, written as multiplier / 2^shift, brings it to the scale of the output.

   This function returns product / 2^shift, rounded, plus zero, and cut to what a uint8 holds. Halves are rounded up.
   Compilers shift negative numbers arithmetically. */
static uint8_t rescaled(int64_t product, int shift, int zero)
{
    const int64_t q = ((product + ((int64_t)1 << (shift - 1))) >> shift) + zero;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

/* Take the pixels of an image, padded to a square with black pixels. Around the square is a border with a level for
   each channel. */
static void take_pixels(const uint8_t *image, uint8_t *y, const FLASH uint8_t *border, int channels, int height,
                        int width, int side, int rows, int columns, int top, int left)
{
    const int down = (side - height) / 2, right = (side - width) / 2; /* of the image in the square */
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < rows; oy++)
            for (int ox = 0; ox < columns; ox++) {
                const int sy = oy - top, sx = ox - left, iy = sy - down, ix = sx - right;
                uint8_t level = 0;
                if (sy < 0 || sy >= side || sx < 0 || sx >= side)
                    level = border[c];
                else if (iy >= 0 && iy < height && ix >= 0 && ix < width)
                    level = image[(c * height + iy) * width + ix];
                *y++ = level;
            }
}

/* Convert float numbers. */
static void quantize(const float *x, uint8_t *y, int n, float scale, int zero)
{
    for (int i = 0; i < n; i++) {
        const float q = fminf(fmaxf(x[i] / scale, (float)-zero), (float)(255 - zero));
        y[i] = (uint8_t)(lrintf(q) + zero);
    }
}

/* Convert to float numbers. */
static void dequantize(const uint8_t *x, float *y, int n, float scale, int zero)
{
    for (int i = 0; i < n; i++)
        y[i] = scale * (float)(x[i] - zero);
}

/* Convolution: each filter slides over the channels of its group. Padding counts as zero. Max-pooling follows, with
   windows of pool_height times pool_width sums that do not overlap; it does nothing if both are 1. */
static void convolution(const uint8_t *x, uint8_t *y, const FLASH int8_t *weight, const FLASH int32_t *bias,
                        const FLASH int32_t *multiplier, const FLASH uint8_t *shift, int x_zero, int y_zero,
                        int channels, int filters, int groups, int pool_height, int pool_width, struct windows w)
{
    const int depth = channels / groups; /* channels that a filter sees */
    for (int o = 0; o < filters; o++) {
        const uint8_t *from = x + o / (filters / groups) * depth * w.height * w.width;
        const FLASH int8_t *filter = weight + o * depth * w.kernel_height * w.kernel_width;
        for (int py = 0; py < w.rows / pool_height; py++)
            for (int px = 0; px < w.columns / pool_width; px++) {
                int32_t most = INT32_MIN;
                for (int k = 0; k < pool_height * pool_width; k++) {
                    const int oy = py * pool_height + k / pool_width, ox = px * pool_width + k % pool_width;
                    int32_t sum = bias[o];
                    for (int c = 0; c < depth; c++)
                        for (int ky = 0; ky < w.kernel_height; ky++)
                            for (int kx = 0; kx < w.kernel_width; kx++) {
                                const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                                const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                                if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width)
                                    sum += filter[(c * w.kernel_height + ky) * w.kernel_width + kx] *
                                           (from[(c * w.height + iy) * w.width + ix] - x_zero);
                            }
                    most = sum > most ? sum : most;
                }
                *y++ = rescaled((int64_t)most * multiplier[o], shift[o], y_zero);
            }
    }
}

/* Linear layer: the product of the matrix (outputs, inputs) with x, plus the bias. */
static void linear(const uint8_t *x, uint8_t *y, const FLASH int8_t *weight, const FLASH int32_t *bias,
                   const FLASH int32_t *multiplier, const FLASH uint8_t *shift, int x_zero, int y_zero, int inputs,
                   int outputs)
{
    for (int o = 0; o < outputs; o++) {
        int32_t sum = bias[o];
        for (int i = 0; i < inputs; i++)
            sum += weight[o * inputs + i] * (x[i] - x_zero);
        y[o] = rescaled((int64_t)sum * multiplier[o], shift[o], y_zero);
    }
}

/* Max-pooling: the largest pixel of each window. Padding never wins. */
static void max_pooling(const uint8_t *x, uint8_t *y, int channels, struct windows w)
{
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < w.rows; oy++)
            for (int ox = 0; ox < w.columns; ox++) {
                uint8_t most = 0;
                for (int ky = 0; ky < w.kernel_height; ky++)
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                        const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                        if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width) {
                            const uint8_t pixel = x[(c * w.height + iy) * w.width + ix];
                            most = pixel > most ? pixel : most;
                        }
                    }
                *y++ = most;
            }
}

/* Average-pooling: the sum of each window; the factor includes the division. */
static void average_pooling(const uint8_t *x, uint8_t *y, int x_zero, int y_zero, int32_t multiplier, int shift,
                            int channels, struct windows w)
{
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < w.rows; oy++)
            for (int ox = 0; ox < w.columns; ox++) {
                int32_t sum = 0;
                for (int ky = 0; ky < w.kernel_height; ky++)
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                        const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                        if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width)
                            sum += x[(c * w.height + iy) * w.width + ix] - x_zero;
                    }
                *y++ = rescaled((int64_t)sum * multiplier, shift, y_zero);
            }
}

/* The sum of two arrays, as in a residual connection, each with its own factor. May be in place. */
static void add(const uint8_t *a, const uint8_t *b, uint8_t *y, int n, int a_zero, int b_zero, int y_zero,
                int32_t a_multiplier, int32_t b_multiplier, int shift)
{
    for (int i = 0; i < n; i++) {
        const int64_t sum = (int64_t)(a[i] - a_zero) * a_multiplier + (int64_t)(b[i] - b_zero) * b_multiplier;
        y[i] = rescaled(sum, shift, y_zero);
    }
}

/* Keep the first `kept` numbers, and fill up with zeros: changes the number of channels. */
static void resize(const uint8_t *x, uint8_t *y, int kept, int n, int zero)
{
    for (int i = 0; i < n; i++)
        y[i] = (uint8_t)(i < kept ? x[i] : zero);
}

/* An activation: its value for each of the 256 inputs stands in a table. May be in place. */
static void lookup(const uint8_t *x, uint8_t *y, const FLASH uint8_t *table, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = table[x[i]];
}
