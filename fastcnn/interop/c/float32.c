/* The operations of a net in float32. `fastcnn.interop.to_c` copies those that a net needs, with their comments.

   An image is stored channel by channel and row by row: (channels, height, width). */

#include <math.h>
#include <stdint.h>

#include "both.c"

/* Standardize the pixels of an image, padded to a square with black pixels: subtract the mean of the channel and divide
   by its standard deviation. */
static void standardize(const uint8_t *image, float *y, const FLASH float *mean, const FLASH float *deviation,
                        int channels, int height, int width, int side)
{
    const int top = (side - height) / 2, left = (side - width) / 2;
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < side; oy++)
            for (int ox = 0; ox < side; ox++) {
                const int iy = oy - top, ix = ox - left;
                const int inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
                const float pixel = inside ? image[(c * height + iy) * width + ix] : 0;
                *y++ = (pixel - mean[c]) / deviation[c];
            }
}

/* A copy. */
static void copy(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i];
}

/* Convolution: each filter slides over the channels of its group. Padding counts as zero. Max-pooling follows, with
   windows of pool_height times pool_width results that do not overlap; it does nothing if both are 1. */
static void convolution(const float *x, float *y, const FLASH float *weight, const FLASH float *bias, int channels,
                        int filters, int groups, int pool_height, int pool_width, struct windows w)
{
    const int depth = channels / groups; /* channels that a filter sees */
    for (int o = 0; o < filters; o++) {
        const float *from = x + o / (filters / groups) * depth * w.height * w.width;
        const FLASH float *filter = weight + o * depth * w.kernel_height * w.kernel_width;
        for (int py = 0; py < w.rows / pool_height; py++)
            for (int px = 0; px < w.columns / pool_width; px++) {
                float most = 0;
                for (int k = 0; k < pool_height * pool_width; k++) {
                    const int oy = py * pool_height + k / pool_width, ox = px * pool_width + k % pool_width;
                    float sum = bias[o];
                    for (int c = 0; c < depth; c++)
                        for (int ky = 0; ky < w.kernel_height; ky++)
                            for (int kx = 0; kx < w.kernel_width; kx++) {
                                const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                                const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                                if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width)
                                    sum += filter[(c * w.kernel_height + ky) * w.kernel_width + kx] *
                                           from[(c * w.height + iy) * w.width + ix];
                            }
                    most = k > 0 && most > sum ? most : sum;
                }
                *y++ = most;
            }
    }
}

/* Linear layer: the product of the matrix (outputs, inputs) with x, plus the bias. */
static void linear(const float *x, float *y, const FLASH float *weight, const FLASH float *bias, int inputs,
                   int outputs)
{
    for (int o = 0; o < outputs; o++) {
        float sum = bias[o];
        for (int i = 0; i < inputs; i++)
            sum += weight[o * inputs + i] * x[i];
        y[o] = sum;
    }
}

/* Max-pooling: the largest pixel of each window. Padding never wins. */
static void max_pooling(const float *x, float *y, int channels, struct windows w)
{
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < w.rows; oy++)
            for (int ox = 0; ox < w.columns; ox++) {
                float most = -INFINITY;
                for (int ky = 0; ky < w.kernel_height; ky++)
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                        const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                        if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width)
                            most = fmaxf(most, x[(c * w.height + iy) * w.width + ix]);
                    }
                *y++ = most;
            }
}

/* Average-pooling: the sum of each window, divided by `divisor`, or by the number of its pixels if that is 0. */
static void average_pooling(const float *x, float *y, int channels, int divisor, struct windows w)
{
    for (int c = 0; c < channels; c++)
        for (int oy = 0; oy < w.rows; oy++)
            for (int ox = 0; ox < w.columns; ox++) {
                float sum = 0;
                int pixels = 0;
                for (int ky = 0; ky < w.kernel_height; ky++)
                    for (int kx = 0; kx < w.kernel_width; kx++) {
                        const int iy = oy * w.stride_y + ky * w.dilation_y - w.top;
                        const int ix = ox * w.stride_x + kx * w.dilation_x - w.left;
                        if (iy >= 0 && iy < w.height && ix >= 0 && ix < w.width) {
                            sum += x[(c * w.height + iy) * w.width + ix];
                            pixels++;
                        }
                    }
                *y++ = sum / (float)(divisor ? divisor : pixels);
            }
}

/* The sum of two arrays, as in a residual connection. May be in place. */
static void add(const float *a, const float *b, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

/* Keep the first `kept` numbers, and fill up with zeros: changes the number of channels. */
static void resize(const float *x, float *y, int kept, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = i < kept ? x[i] : 0;
}

/* ReLU. Like all activations below, it may be in place. */
static void relu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
}

/* ReLU that does not vanish for negative numbers. */
static void leaky_relu(const float *x, float *y, int n, float slope)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

/* Hyperbolic tangent, scaled. */
static void scaled_tanh(const float *x, float *y, int n, float amplitude, float slope)
{
    for (int i = 0; i < n; i++)
        y[i] = amplitude * tanhf(slope * x[i]);
}

/* Sigmoid: 1 / (1 + e^-x). */
static void sigmoid(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 1 / (1 + expf(-x[i]));
}

/* SiLU: x times its sigmoid. */
static void silu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] / (1 + expf(-x[i]));
}

/* GELU: x times the probability that a standard normal variable is below x. */
static void gelu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] / 2 * erfcf(-x[i] * 0.70710678f); /* 1 / sqrt(2) */
}

/* GELU, approximated with a hyperbolic tangent. */
static void gelu_tanh(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] / (1 + expf(-1.5957691f * (x[i] + 0.044715f * x[i] * x[i] * x[i]))); /* 2 * sqrt(2 / pi) */
}

/* ELU: alpha * (e^x - 1) for negative numbers. */
static void elu(const float *x, float *y, int n, float alpha)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : alpha * expm1f(x[i]);
}

/* Hardswish: x * (x + 3) / 6 between -3 and 3. */
static void hardswish(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * fminf(fmaxf(x[i] + 3, 0), 6) / 6;
}

/* Softplus: log(1 + e^(beta x)) / beta. */
static void softplus(const float *x, float *y, int n, float beta, float threshold)
{
    for (int i = 0; i < n; i++) {
        const float v = beta * x[i];
        y[i] = v > threshold ? x[i] : (fmaxf(v, 0) + log1pf(expf(-fabsf(v)))) / beta;
    }
}

/* Mish: x * tanh(log(1 + e^x)). */
static void mish(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * tanhf(fmaxf(x[i], 0) + log1pf(expf(-fabsf(x[i]))));
}
