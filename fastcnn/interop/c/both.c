/* What nets of both precisions need; see float32.c. */

#include <math.h>

/* Windows that slide over an image. Tap (ky, kx) of window (oy, ox) is the pixel
   (oy * stride_y + ky * dilation_y - top, ox * stride_x + kx * dilation_x - left); pixels outside are padding. */
struct windows {
    int height, width;               /* of the image */
    int rows, columns;               /* of windows, and so of the output */
    int kernel_height, kernel_width; /* taps of a window */
    int stride_y, stride_x, dilation_y, dilation_x;
    int top, left; /* padding before the first row and column */
};

/* Softmax along the middle axis of (outer, n, inner): positive numbers with the sum 1. May be in place. */
static void softmax(const float *x, float *y, int outer, int n, int inner)
{
    for (int i = 0; i < outer * inner; i++) {
        const int first = i / inner * n * inner + i % inner, end = first + n * inner;
        float most = x[first], sum = 0;
        for (int k = first; k < end; k += inner)
            most = fmaxf(most, x[k]);
        for (int k = first; k < end; k += inner)
            sum += y[k] = expf(x[k] - most); /* at most 1, so nothing overflows */
        for (int k = first; k < end; k += inner)
            y[k] /= sum;
    }
}
