/* What exported networks are made of. `kernels.py` takes the blocks that one needs: "block NAME: those it calls". */
#include <math.h>
#include <stdint.h>

/* block view: */
/* A map of ih x iw read at stride sh x sw to give one of oh x ow. */
struct view {
    int32_t ih, iw, oh, ow;
    int16_t sh, sw;
};

/* block weight: */
typedef float weight_t;

/* block layer: view weight */
/* n filters of c channels in `groups` groups, kh x kw taps from -ph, -pw at distance dh, dw; `plane` unpacks the taps
   of one filter and channel from packed parts, as weights times `denominator`. With a bank: k filters of s channels and
   th x tw taps. Whole weights are used over 2^cut. */
struct layer {
    struct view view;
    int32_t n, c, groups;
    int16_t kh, kw, ph, pw, dh, dw, denominator;
    int8_t cut;
    void (*plane)(const struct layer *l, int32_t f, int32_t c, weight_t *w);
    const uint8_t *bank, *indices, *coefficients;
    int32_t k, s, terms, step, first;
    int16_t th, tw, step_h, step_w; /* steps from tile to tile in the bank's maps, of which `map` is the view */
    uint8_t bits, index_bits, coefficient_bits;
    struct view map;
};

/* block sign: weight */
static weight_t sign(const uint8_t *packed, int32_t i)
{
    return ((uint32_t)packed[i >> 3] >> (7 - (i & 7))) & 1u ? 1 : -1;
}

/* block code: */
/* The i-th code of so many bits, most significant bit first. */
static uint32_t code(const uint8_t *packed, int32_t i, uint32_t bits)
{
    uint32_t at = (uint32_t)i * bits, value = 0;
    while (bits > 0) {
        uint32_t room = 8 - (at & 7u), take = bits < room ? bits : room;
        value = (value << take) | (((uint32_t)packed[at >> 3] >> (room - take)) & ((1u << take) - 1u));
        at += take;
        bits -= take;
    }
    return value;
}

/* block half: */
/* The i-th IEEE half-precision number, exactly. */
static float half(const uint8_t *packed, int32_t i)
{
    uint32_t h = (uint32_t)packed[2 * i] << 8 | packed[2 * i + 1], exponent = (h >> 10) & 31u, rest = h & 1023u;
    union {
        uint32_t bits;
        float value;
    } number;
    if (exponent == 0)
        number.value = (float)rest / 16777216.0f;
    else
        number.bits = ((exponent + 112u) << 23) | (rest << 13);
    return h & 32768u ? -number.value : number.value;
}

/* block single: */
static float single(const uint8_t *packed, int32_t i)
{
    union {
        uint32_t bits;
        float value;
    } number;
    const uint8_t *at = packed + 4 * i;
    number.bits = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return number.value;
}

/* block steps: half */
/* One of `top` steps between two half-precision numbers. */
static float steps(const uint8_t *range, int32_t step, float top)
{
    float low = half(range, 0), size = half(range, 1) - low;
    if (size < 1e-12f)
        size = 1e-12f;
    return low + (float)step * (size / top);
}

/* block vector8: steps */
static float vector8(const uint8_t *packed, int32_t i, int32_t count)
{
    return steps(packed + count, packed[i], 255.0f);
}

/* block nibble: */
static int32_t nibble(const uint8_t *packed, int32_t i)
{
    return i & 1 ? packed[i >> 1] & 15 : packed[i >> 1] >> 4;
}

/* block vector4: steps nibble */
static float vector4(const uint8_t *packed, int32_t i, int32_t count)
{
    int32_t step = nibble(packed, i);
    return steps(packed + (count + 1) / 2, step, 15.0f);
}

/* block vector_powers: half nibble */
/* The half-precision number behind the codes over a power of two; the highest bit is the sign. */
static float vector_powers(const uint8_t *packed, int32_t i, int32_t count)
{
    int32_t step = nibble(packed, i);
    float size = half(packed + (count + 1) / 2, 0) / (float)(1 << (step & 7));
    return step & 8 ? -size : size;
}

/* block vector_shared: half */
static float vector_shared(const uint8_t *packed, int32_t i, int32_t count)
{
    (void)i;
    (void)count;
    return half(packed, 0);
}

/* block vector16: half */
static float vector16(const uint8_t *packed, int32_t i, int32_t count)
{
    (void)count;
    return half(packed, i);
}

/* block vector32: single */
static float vector32(const uint8_t *packed, int32_t i, int32_t count)
{
    (void)count;
    return single(packed, i);
}

/* block real: layer */
/* A real number as a weight. */
static weight_t real(const struct layer *l, float value)
{
    (void)l;
    return value;
}

/* block plane_stacked: layer sign code */
static void plane_stacked(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t slot = (f * (l->c / l->s) + c / l->s) * (l->kh / l->th) * (l->kw / l->tw), row, column, r, q;
    for (row = 0; row < l->kh; row += l->th)
        for (column = 0; column < l->kw; column += l->tw, slot++) {
            int32_t at = ((int32_t)code(l->indices, slot, l->index_bits) * l->s + c % l->s) * l->th * l->tw;
            for (r = row; r < row + l->th; r++)
                for (q = column; q < column + l->tw; q++)
                    w[r * l->kw + q] = sign(l->bank, at++);
        }
}

/* block level: layer code */
/* Weight i of the bank, one of 2^bits levels of equal steps: an odd number, to be divided by 2^bits - 1. */
static int32_t level(const struct layer *l, int32_t i)
{
    return 2 * (int32_t)code(l->bank, i, l->bits) - (int32_t)(1u << l->bits) + 1;
}

/* block coefficient: layer code */
/* That of term i, plus or minus j, to be divided by 2^(bits - 1); 1 where none is stored. */
static int32_t coefficient(const struct layer *l, int32_t i)
{
    int32_t steps;
    if (l->coefficient_bits == 0)
        return 1;
    steps = (int32_t)code(l->coefficients, i, l->coefficient_bits) - (int32_t)(1u << (l->coefficient_bits - 1));
    return steps < 0 ? steps : steps + 1;
}

/* block plane_sparse: level coefficient */
static void plane_sparse(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t slot = (f * (l->c / l->s) + c / l->s) * (l->kh / l->th) * (l->kw / l->tw), row, column, term, r, q;
    for (row = 0; row < l->kh; row += l->th)
        for (column = 0; column < l->kw; column += l->tw, slot++)
            for (term = slot * l->terms; term < (slot + 1) * l->terms; term++) {
                int32_t at = ((int32_t)code(l->indices, term, l->index_bits) * l->s + c % l->s) * l->th * l->tw;
                int32_t value = coefficient(l, term);
                for (r = row; r < row + l->th; r++)
                    for (q = column; q < column + l->tw; q++, at++) {
                        weight_t one = (weight_t)(value * level(l, at));
                        w[r * l->kw + q] = term == slot * l->terms ? one : w[r * l->kw + q] + one;
                    }
            }
}

/* block plane_binary: layer sign */
static void plane_binary(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;
    for (i = 0; i < taps; i++)
        w[i] = sign(l->bank, first + i);
}

/* block plane_codes: layer code */
/* A code a weight, `step` apart. */
static void plane_codes(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;
    for (i = 0; i < taps; i++)
        w[i] = (weight_t)(l->first + l->step * (int32_t)code(l->bank, first + i, l->bits));
}

/* block plane_tiled: layer sign half real */
/* A tile of k signs; the scales are in `coefficients`. */
static void plane_tiled(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;
    for (i = 0; i < taps; i++) {
        float scale = half(l->coefficients, (first + i) / l->k);
        w[i] = real(l, sign(l->bank, (first + i) % l->k) > 0 ? scale : -scale);
    }
}

/* block product: code */
/* Bit (row, column) of the product modulo 2 of `left` (height, rank) and `right` (rank, width). */
static uint32_t product(const uint8_t *left, const uint8_t *right, int32_t rank, int32_t width, int32_t row,
                        int32_t column)
{
    uint32_t bit = 0;
    int32_t j;
    for (j = 0; j < rank; j++)
        bit ^= code(left, row * rank + j, 1) & code(right, j * width + column, 1);
    return bit;
}

/* block plane_float16: layer half real */
static void plane_float16(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;
    for (i = 0; i < taps; i++)
        w[i] = real(l, half(l->bank, first + i));
}

/* block plane_float32: layer single real */
static void plane_float32(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;
    for (i = 0; i < taps; i++)
        w[i] = real(l, single(l->bank, first + i));
}

/* block taps: layer */
/* The weights of one filter and channel. */
static void taps(const struct layer *l, int32_t f, int32_t c, float *w)
{
    int32_t i;
    l->plane(l, f, c, w);
    if (l->denominator != 1)
        for (i = 0; i < l->kh * l->kw; i++)
            w[i] /= (float)l->denominator;
}

/* block zero: */
static void zero(float *y, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = 0.0f;
}

/* block span: */
/* Outputs from `begin` up to `upto` read a place within `in`: o * stride + shift. */
static int32_t begin(int32_t stride, int32_t shift)
{
    return shift < 0 ? (stride - 1 - shift) / stride : 0;
}

static int32_t upto(int32_t in, int32_t out, int32_t stride, int32_t shift)
{
    int32_t end = in > shift ? (in - 1 - shift) / stride + 1 : 0;
    return end > out ? out : end;
}

/* block apart: */
/* Not part of its caller, whose place on the stack would grow. */
#ifdef __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

/* block accumulate: view span apart */
/* y += w x, x moved by dy, dx and read at the view's stride; a weight of 1 or -1 adds or subtracts. */
APART static void accumulate(const struct view *v, float w, int32_t dy, int32_t dx, const float *restrict x,
                             float *restrict y)
{
    int32_t bottom = upto(v->ih, v->oh, v->sh, dy), left = begin(v->sw, dx), right = upto(v->iw, v->ow, v->sw, dx);
    int32_t row, step = v->sw;
    if (left >= right)
        return;
    for (row = begin(v->sh, dy); row < bottom; row++) {
        const float *in = x + (row * v->sh + dy) * v->iw + dx + left * step;
        float *to = y + row * v->ow + left, *end = to + (right - left);
        if (w == 1.0f)
            for (; to < end; to++, in += step)
                *to += *in;
        else if (w == -1.0f)
            for (; to < end; to++, in += step)
                *to -= *in;
        else
            for (; to < end; to++, in += step)
                *to += w * *in;
    }
}

/* block correlate: accumulate layer */
/* y += one channel's map x with taps w of th x tw, from row `top` of the view's output on. */
static void correlate(const struct layer *l, const struct view *v, int32_t top, int32_t th, int32_t tw,
                      const float *w, const float *x, float *y)
{
    int32_t r, q;
    for (r = 0; r < th; r++)
        for (q = 0; q < tw; q++)
            accumulate(v, *w++, top * v->sh + r * l->dh - l->ph, q * l->dw - l->pw, x, y);
}

/* block convolve: correlate zero taps */
/* The weight of one filter and channel is unpacked at a time, into w. */
static void convolve(const struct layer *l, const float *x, float *y, float *w)
{
    int32_t in = l->view.ih * l->view.iw, out = l->view.oh * l->view.ow, f, c;
    zero(y, l->n * out);
    for (f = 0; f < l->n; f++) {
        const float *from = x + f / (l->n / l->groups) * l->c * in;
        for (c = 0; c < l->c; c++) {
            taps(l, f, c, w);
            correlate(l, &l->view, 0, l->kh, l->kw, w, from + c * in, y + f * out);
        }
    }
}

/* block linear: taps */
/* x (positions, c) to y (positions, n). */
static void linear(const struct layer *l, const float *x, float *y, int32_t positions)
{
    int32_t f, c, p;
    for (f = 0; f < l->n; f++)
        for (c = 0; c < l->c; c++) {
            float w;
            taps(l, f, c, &w);
            for (p = 0; p < positions; p++) {
                float one = w * x[p * l->c + c];
                y[p * l->n + f] = c == 0 ? one : y[p * l->n + f] + one;
            }
        }
}

/* block transform: correlate zero level */
/* The k maps of one group of s channels, from x on, for outputs from row `top` on. Behind them are the taps of one bank
   filter and channel. */
static void transform(const struct layer *l, const float *x, float *maps, int32_t top)
{
    int32_t size = l->map.oh * l->map.ow, taps = l->th * l->tw, i, j;
    float *w = maps + l->k * size;
    zero(maps, l->k * size);
    for (i = 0; i < l->k * l->s; i++) {
        for (j = 0; j < taps; j++)
            w[j] = (float)level(l, i * taps + j) / (float)((1 << l->bits) - 1);
        correlate(l, &l->map, top, l->th, l->tw, w, x + i % l->s * l->view.ih * l->view.iw, maps + i / l->s * size);
    }
}

/* block select: accumulate level coefficient */
/* y += the maps that filter f selects in group `part` of its channels. */
static void select(const struct layer *l, const struct view *read, int32_t f, int32_t part, const float *maps, float *y)
{
    int32_t columns = l->kw / l->tw, tiles = l->kh / l->th * columns, i;
    int32_t first = (f * (l->c / l->s) + part) * tiles * l->terms;
    int32_t scale = l->coefficient_bits ? (int32_t)(1u << (l->coefficient_bits - 1)) : 1;
    for (i = 0; i < tiles * l->terms; i++)
        accumulate(read, (float)coefficient(l, first + i) / (float)scale, i / l->terms / columns * l->step_h,
                   i / l->terms % columns * l->step_w,
                   maps + (int32_t)code(l->indices, first + i, l->index_bits) * l->map.oh * l->map.ow, y);
}

/* block merge: transform select */
/* Split-transform-merge, `height` rows of the output at a time: each group of s channels gives k maps, of which every
   filter adds up those that it selects. */
static void merge(const struct layer *l, const float *x, float *y, float *maps, int32_t height)
{
    int32_t out = l->view.oh * l->view.ow, filters = l->n / l->groups, parts = l->c / l->s, top, part, f;
    struct view read = l->view;
    read.ih = l->map.oh;
    read.iw = l->map.ow;
    read.sh = l->map.sh == l->view.sh ? (int16_t)1 : l->view.sh;
    read.sw = l->map.sw == l->view.sw ? (int16_t)1 : l->view.sw;
    zero(y, l->n * out);
    for (top = 0; top < l->view.oh; top += height) {
        read.oh = l->view.oh - top < height ? l->view.oh - top : height;
        for (part = 0; part < l->groups * parts; part++) {
            transform(l, x + part * l->s * l->view.ih * l->view.iw, maps, top * read.sh);
            for (f = part / parts * filters; f < (part / parts + 1) * filters; f++)
                select(l, &read, f, part % parts, maps, y + f * out + top * l->view.ow);
        }
    }
}

/* block affine: */
/* y = x scale + shift, one of each a channel; none where there is no pointer. */
static void affine(const float *x, float *y, int32_t outer, int32_t channels, int32_t inner,
                   float (*scale_at)(const uint8_t *packed, int32_t i, int32_t count), const uint8_t *scale,
                   float (*shift_at)(const uint8_t *packed, int32_t i, int32_t count), const uint8_t *shift)
{
    int32_t o, c, i;
    for (c = 0; c < channels; c++) {
        float a = scale ? scale_at(scale, c, channels) : 1.0f, b = shift ? shift_at(shift, c, channels) : 0.0f;
        for (o = 0; o < outer; o++)
            for (i = (o * channels + c) * inner; i < (o * channels + c + 1) * inner; i++)
                y[i] = x[i] * a + b;
    }
}

/* block normalize: half */
/* A batch norm that is kept as it is: mean, variance, and weight and bias where there are pointers. */
static void normalize(const float *x, float *y, int32_t channels, int32_t inner, float epsilon, const uint8_t *mean,
                      const uint8_t *variance, const uint8_t *weight, const uint8_t *bias)
{
    int32_t c, i;
    for (c = 0; c < channels; c++) {
        float scale = (weight ? half(weight, c) : 1.0f) / sqrtf(half(variance, c) + epsilon);
        float shift = (bias ? half(bias, c) : 0.0f) - half(mean, c) * scale;
        for (i = c * inner; i < (c + 1) * inner; i++)
            y[i] = x[i] * scale + shift;
    }
}

/* block max_pool: view */
static void max_pool(const struct view *v, const float *x, float *y, int32_t channels, int32_t kh, int32_t kw,
                     int32_t ph, int32_t pw, int32_t dh, int32_t dw)
{
    int32_t c, row, column, r, q;
    for (c = 0; c < channels; c++, x += v->ih * v->iw)
        for (row = 0; row < v->oh; row++)
            for (column = 0; column < v->ow; column++) {
                float most = 0.0f;
                int32_t found = 0;
                for (r = row * v->sh - ph; r < row * v->sh - ph + kh * dh && r < v->ih; r += dh)
                    for (q = column * v->sw - pw; q < column * v->sw - pw + kw * dw && q < v->iw; q += dw)
                        if (r >= 0 && q >= 0 && (!found || x[r * v->iw + q] > most)) {
                            most = x[r * v->iw + q];
                            found = 1;
                        }
                *y++ = most;
            }
}

/* block mean: */
/* Of the h x w values from x, in rows of `width`, divided by `divisor`. */
static float mean(const float *x, int32_t width, int32_t h, int32_t w, int32_t divisor)
{
    float total = 0.0f;
    int32_t r, q;
    for (r = 0; r < h; r++)
        for (q = 0; q < w; q++)
            total += x[r * width + q];
    return total / (float)divisor;
}

/* block clip: */
static int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* block average_pool: view mean clip */
/* Padding counts as values of 0 where `padded`; `divisor` of 0 is the number of values. */
static void average_pool(const struct view *v, const float *x, float *y, int32_t channels, int32_t kh, int32_t kw,
                         int32_t ph, int32_t pw, int32_t padded, int32_t divisor)
{
    int32_t c, row, column;
    for (c = 0; c < channels; c++, x += v->ih * v->iw)
        for (row = 0; row < v->oh; row++)
            for (column = 0; column < v->ow; column++) {
                int32_t top = row * v->sh - ph, left = column * v->sw - pw;
                int32_t bottom = clip(top + kh, top, v->ih + ph), right = clip(left + kw, left, v->iw + pw);
                int32_t count = (bottom - top) * (right - left);
                top = clip(top, 0, v->ih);
                left = clip(left, 0, v->iw);
                bottom = clip(bottom, top, v->ih);
                right = clip(right, left, v->iw);
                if (!padded)
                    count = (bottom - top) * (right - left);
                *y++ = mean(x + top * v->iw + left, v->iw, bottom - top, right - left, divisor ? divisor : count);
            }
}

/* block adaptive_pool: view mean */
static void adaptive_pool(const struct view *v, const float *x, float *y, int32_t channels)
{
    int32_t c, row, column;
    for (c = 0; c < channels; c++, x += v->ih * v->iw)
        for (row = 0; row < v->oh; row++)
            for (column = 0; column < v->ow; column++) {
                int32_t top = row * v->ih / v->oh, left = column * v->iw / v->ow;
                int32_t h = ((row + 1) * v->ih + v->oh - 1) / v->oh - top;
                int32_t w = ((column + 1) * v->iw + v->ow - 1) / v->ow - left;
                *y++ = mean(x + top * v->iw + left, v->iw, h, w, h * w);
            }
}

/* block add: */
/* `inner` values of a for each of b: 1 where they are alike. */
static void add(const float *a, const float *b, float *y, int32_t size, int32_t inner)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = a[i] + b[i / inner];
}

/* block multiply: */
static void multiply(const float *a, const float *b, float *y, int32_t size, int32_t inner)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = a[i] * b[i / inner];
}

/* block copy: */
static void copy(const float *x, float *y, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}

/* block clamp: */
static void clamp(const float *x, float *y, int32_t size, float low, float high)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

/* block relu: */
static void relu(const float *x, float *y, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* block leaky_relu: */
static void leaky_relu(const float *x, float *y, int32_t size, float slope)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}

/* block hard_sigmoid: */
/* clamp(x + 3, 0, 6) / 6, times x where `swish`. */
static void hard_sigmoid(const float *x, float *y, int32_t size, int32_t swish)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        float gate = x[i] < -3.0f ? 0.0f : x[i] > 3.0f ? 6.0f : x[i] + 3.0f;
        y[i] = (swish ? x[i] * gate : gate) / 6.0f;
    }
}

/* block sigmoid: */
/* Times x where `swish`. */
static void sigmoid(const float *x, float *y, int32_t size, int32_t swish)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = (swish ? x[i] : 1.0f) / (1.0f + expf(-x[i]));
}

/* block gelu: */
/* x times the normal distribution function, or its approximation `by_tanh`. */
static void gelu(const float *x, float *y, int32_t size, int32_t by_tanh)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        float u = x[i];
        float part = by_tanh ? tanhf(0.79788456f * (u + 0.044715f * u * u * u)) : erff(0.70710678f * u);
        y[i] = 0.5f * u * (1.0f + part);
    }
}

/* block elu: */
static void elu(const float *x, float *y, int32_t size, float alpha)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] > 0.0f ? x[i] : alpha * expm1f(x[i]);
}

/* block hyperbolic: */
static void hyperbolic(const float *x, float *y, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = tanhf(x[i]);
}
