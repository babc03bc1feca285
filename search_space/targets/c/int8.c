/* What networks of int8 activations have in place of blocks of kernels.c of the same name, and beside them. */

/* block weight: */
typedef int32_t weight_t;

/* block halved: */
/* t / 2^shift, rounded down. */
static int64_t halved(int64_t t, int32_t shift)
{
    return t < 0 ? ~(~t >> shift) : t >> shift;
}

/* block rounded: halved */
/* t / 2^shift, rounded to the nearest, halves up. */
static int64_t rounded(int64_t t, int32_t shift)
{
    if (shift <= 0)
        return t * ((int64_t)1 << -shift);
    return shift > 61 ? 0 : halved(t + ((int64_t)1 << (shift - 1)), shift);
}

/* block fixed: rounded */
/* value mantissa / 2^shift, rounded: what a stored number is in whole ones. */
static int64_t fixed(float value, int32_t mantissa, int32_t shift)
{
    union {
        float value;
        uint32_t bits;
    } number;
    int32_t exponent;
    int64_t digits;
    number.value = value;
    exponent = (int32_t)((number.bits >> 23) & 255u);
    digits = (int64_t)(number.bits & 0x7fffffu);
    if (exponent == 0)
        exponent = 1;
    else
        digits += 0x800000;
    if (number.bits >> 31)
        digits = -digits;
    return rounded(digits * mantissa, shift + 150 - exponent);
}

/* block real: layer fixed */
/* A real number as a weight: times 2^-cut, rounded. */
static weight_t real(const struct layer *l, float value)
{
    return (weight_t)fixed(value, 1, l->cut);
}

/* block taps: layer rounded */
/* The weights of one filter and channel, over 2^cut: those of `real`, which have no denominator, are so already. */
static void taps(const struct layer *l, int32_t f, int32_t c, weight_t *w)
{
    int32_t i;
    l->plane(l, f, c, w);
    if (l->cut > 0 && l->denominator)
        for (i = 0; i < l->kh * l->kw; i++)
            w[i] = (weight_t)rounded(w[i], l->cut);
}

/* block store: */
/* Where an output goes, and its range. The output of a whole number v is (v factor + offset) / 2^shift, rounded; factor
   and offset are those of a channel: its scale `factor` / 2^`factor_shift` and its shift `offset` / 2^`offset_shift`,
   both from packed numbers by `affine`; none where there is no pointer. */
struct store {
    int8_t *y;
    int16_t *wide; /* in place of y, for logits */
    int32_t factor, offset;
    int16_t low, high;
    int8_t shift, factor_shift, offset_shift;
    void (*affine)(const struct store *o, int32_t c, float *a, float *b);
    float (*read_scale)(const uint8_t *packed, int32_t i, int32_t count);
    float (*read_bias)(const uint8_t *packed, int32_t i, int32_t count);
    int32_t channels;
    const uint8_t *scale, *bias;
};

/* block keep: store */
/* Output i is t, within the range. */
static void keep(const struct store *o, int32_t i, int64_t t)
{
    t = t < o->low ? o->low : t > o->high ? o->high : t;
    if (o->wide)
        o->wide[i] = (int16_t)t;
    else
        o->y[i] = (int8_t)t;
}

/* block put: keep rounded */
/* Output i is t / 2^shift, rounded. */
static void put(const struct store *o, int32_t i, int64_t t)
{
    keep(o, i, rounded(t, o->shift));
}

/* block folded: store */
static void folded(const struct store *o, int32_t c, float *a, float *b)
{
    *a = o->scale ? o->read_scale(o->scale, c, o->channels) : 1.0f;
    *b = o->bias ? o->read_bias(o->bias, c, o->channels) : 0.0f;
}

/* block kept: store half */
/* A batch norm that is kept as it is. */
static void kept(const struct store *o, int32_t c, const uint8_t *mean, const uint8_t *variance, float epsilon,
                 float *a, float *b)
{
    *a = (o->scale ? half(o->scale, c) : 1.0f) / sqrtf(half(variance, c) + epsilon);
    *b = (o->bias ? half(o->bias, c) : 0.0f) - half(mean, c) * *a;
}

/* block channel: put fixed */
/* `size` sums of channel c to the outputs from `at` on, `step` apart. */
static void channel(const struct store *o, int32_t c, const int32_t *sums, int32_t at, int32_t step, int32_t size)
{
    float a, b;
    int64_t factor, offset;
    int32_t i;
    o->affine(o, c, &a, &b);
    factor = fixed(a, o->factor, o->factor_shift);
    offset = fixed(b, o->offset, o->offset_shift);
    for (i = 0; i < size; i++)
        put(o, at + i * step, sums[i] * factor + offset);
}

/* block affine: put fixed */
/* Scale and shift of each channel of x. */
static void affine(const struct store *o, const int8_t *x, int32_t inner)
{
    int32_t c, i;
    for (c = 0; c < o->channels; c++) {
        float a, b;
        int64_t factor, offset;
        o->affine(o, c, &a, &b);
        factor = fixed(a, o->factor, o->factor_shift);
        offset = fixed(b, o->offset, o->offset_shift);
        for (i = c * inner; i < (c + 1) * inner; i++)
            put(o, i, x[i] * factor + offset);
    }
}

/* block zero: */
static void zero(int32_t *y, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        y[i] = 0;
}

/* block accumulate: view span apart */
/* y += w x, x moved by dy, dx and read at the view's stride; a weight of 1 or -1 adds or subtracts. */
APART static void accumulate(const struct view *v, int32_t w, int32_t dy, int32_t dx, const int8_t *restrict x,
                             int32_t *restrict y)
{
    int32_t bottom = upto(v->ih, v->oh, v->sh, dy), left = begin(v->sw, dx), right = upto(v->iw, v->ow, v->sw, dx);
    int32_t row, step = v->sw;
    if (left >= right)
        return;
    for (row = begin(v->sh, dy); row < bottom; row++) {
        const int8_t *in = x + (row * v->sh + dy) * v->iw + dx + left * step;
        int32_t *to = y + row * v->ow + left, *end = to + (right - left);
        if (w == 1)
            for (; to < end; to++, in += step)
                *to += *in;
        else if (w == -1)
            for (; to < end; to++, in += step)
                *to -= *in;
        else
            for (; to < end; to++, in += step)
                *to += w * *in;
    }
}

/* block gather: view span apart */
/* y += w x, as `accumulate` does, of sums. */
APART static void gather(const struct view *v, int32_t w, int32_t dy, int32_t dx, const int32_t *restrict x,
                         int32_t *restrict y)
{
    int32_t bottom = upto(v->ih, v->oh, v->sh, dy), left = begin(v->sw, dx), right = upto(v->iw, v->ow, v->sw, dx);
    int32_t row, step = v->sw;
    if (left >= right)
        return;
    for (row = begin(v->sh, dy); row < bottom; row++) {
        const int32_t *in = x + (row * v->sh + dy) * v->iw + dx + left * step;
        int32_t *to = y + row * v->ow + left, *end = to + (right - left);
        for (; to < end; to++, in += step)
            *to += w * *in;
    }
}

/* block correlate: accumulate layer */
/* y += one channel's map x with taps w of th x tw, from row `top` of the view's output on. */
static void correlate(const struct layer *l, const struct view *v, int32_t top, int32_t th, int32_t tw,
                      const weight_t *w, const int8_t *x, int32_t *y)
{
    int32_t r, q;
    for (r = 0; r < th; r++)
        for (q = 0; q < tw; q++)
            accumulate(v, *w++, top * v->sh + r * l->dh - l->ph, q * l->dw - l->pw, x, y);
}

/* block convolve: correlate zero taps channel */
/* Sums of one filter at a time, of which the weights of one channel are unpacked at a time, behind them. */
static void convolve(const struct layer *l, const struct store *o, const int8_t *x, int32_t *sums)
{
    int32_t in = l->view.ih * l->view.iw, out = l->view.oh * l->view.ow, f, c;
    for (f = 0; f < l->n; f++) {
        const int8_t *from = x + f / (l->n / l->groups) * l->c * in;
        zero(sums, out);
        for (c = 0; c < l->c; c++) {
            taps(l, f, c, sums + out);
            correlate(l, &l->view, 0, l->kh, l->kw, sums + out, from + c * in, sums);
        }
        channel(o, f, sums, f * out, 1, out);
    }
}

/* block linear: taps channel zero */
/* x (positions, c) to (positions, n); a sum for each position. */
static void linear(const struct layer *l, const struct store *o, const int8_t *x, int32_t positions, int32_t *sums)
{
    int32_t f, c, p;
    for (f = 0; f < l->n; f++) {
        zero(sums, positions);
        for (c = 0; c < l->c; c++) {
            weight_t w;
            taps(l, f, c, &w);
            for (p = 0; p < positions; p++)
                sums[p] += w * x[p * l->c + c];
        }
        channel(o, f, sums, f, l->n, positions);
    }
}

/* block transform: correlate zero level */
/* The k maps of one group of s channels, from x on, for outputs from row `top` on. Behind them are the taps of one bank
   filter and channel. */
static void transform(const struct layer *l, const int8_t *x, int32_t *maps, int32_t top)
{
    int32_t size = l->map.oh * l->map.ow, taps = l->th * l->tw, i, j;
    weight_t *w = maps + l->k * size;
    zero(maps, l->k * size);
    for (i = 0; i < l->k * l->s; i++) {
        for (j = 0; j < taps; j++)
            w[j] = level(l, i * taps + j);
        correlate(l, &l->map, top, l->th, l->tw, w, x + i % l->s * l->view.ih * l->view.iw, maps + i / l->s * size);
    }
}

/* block select: gather coefficient code */
/* sums += the maps that filter f selects in group `part` of its channels. */
static void select(const struct layer *l, const struct view *read, int32_t f, int32_t part, const int32_t *maps,
                   int32_t *sums)
{
    int32_t columns = l->kw / l->tw, tiles = l->kh / l->th * columns, i;
    int32_t first = (f * (l->c / l->s) + part) * tiles * l->terms;
    for (i = 0; i < tiles * l->terms; i++)
        gather(read, coefficient(l, first + i), i / l->terms / columns * l->step_h,
               i / l->terms % columns * l->step_w,
               maps + (int32_t)code(l->indices, first + i, l->index_bits) * l->map.oh * l->map.ow, sums);
}

/* block merge: transform select channel */
/* Split-transform-merge, `height` rows of the output at a time: each group of s channels gives k maps, of which every
   filter adds up those that it selects. `sums` are those of all filters, then the maps. */
static void merge(const struct layer *l, const struct store *o, const int8_t *x, int32_t *sums, int32_t height)
{
    int32_t out = height * l->view.ow, filters = l->n / l->groups, parts = l->c / l->s, top, part, f;
    int32_t *maps = sums + l->n * out;
    struct view read = l->view;
    read.ih = l->map.oh;
    read.iw = l->map.ow;
    read.sh = l->map.sh == l->view.sh ? (int16_t)1 : l->view.sh;
    read.sw = l->map.sw == l->view.sw ? (int16_t)1 : l->view.sw;
    for (top = 0; top < l->view.oh; top += height) {
        read.oh = l->view.oh - top < height ? l->view.oh - top : height;
        zero(sums, l->n * out);
        for (part = 0; part < l->groups * parts; part++) {
            transform(l, x + part * l->s * l->view.ih * l->view.iw, maps, top * read.sh);
            for (f = part / parts * filters; f < (part / parts + 1) * filters; f++)
                select(l, &read, f, part % parts, maps, sums + f * out);
        }
        for (f = 0; f < l->n; f++)
            channel(o, f, sums + f * out, (f * l->view.oh + top) * l->view.ow, 1, read.oh * l->view.ow);
    }
}

/* block max_pool: view put */
static void max_pool(const struct view *v, const struct store *o, const int8_t *x, int32_t channels, int32_t kh,
                     int32_t kw, int32_t ph, int32_t pw, int32_t dh, int32_t dw)
{
    int32_t c, row, column, r, q, i = 0;
    for (c = 0; c < channels; c++, x += v->ih * v->iw)
        for (row = 0; row < v->oh; row++)
            for (column = 0; column < v->ow; column++) {
                int32_t most = -128;
                for (r = row * v->sh - ph; r < row * v->sh - ph + kh * dh && r < v->ih; r += dh)
                    for (q = column * v->sw - pw; q < column * v->sw - pw + kw * dw && q < v->iw; q += dw)
                        if (r >= 0 && q >= 0 && x[r * v->iw + q] > most)
                            most = x[r * v->iw + q];
                put(o, i++, (int64_t)most * o->factor);
            }
}

/* block mean: keep */
/* Output i: the sum of the h x w values from x, in rows of `width`, over `divisor` 2^shift, rounded. */
static void mean(const struct store *o, int32_t i, const int8_t *x, int32_t width, int32_t h, int32_t w,
                 int32_t divisor)
{
    int64_t total = 0, over = (int64_t)divisor << o->shift;
    int32_t r, q;
    for (r = 0; r < h; r++)
        for (q = 0; q < w; q++)
            total += x[r * width + q];
    total = 2 * total * o->factor + over;
    keep(o, i, total < 0 ? -((-total + 2 * over - 1) / (2 * over)) : total / (2 * over));
}

/* block average_pool: view mean clip */
/* Padding counts as values of 0 where `padded`; `divisor` of 0 is the number of values. */
static void average_pool(const struct view *v, const struct store *o, const int8_t *x, int32_t channels, int32_t kh,
                         int32_t kw, int32_t ph, int32_t pw, int32_t padded, int32_t divisor)
{
    int32_t c, row, column, i = 0;
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
                mean(o, i++, x + top * v->iw + left, v->iw, bottom - top, right - left, divisor ? divisor : count);
            }
}

/* block adaptive_pool: view mean */
static void adaptive_pool(const struct view *v, const struct store *o, const int8_t *x, int32_t channels)
{
    int32_t c, row, column, i = 0;
    for (c = 0; c < channels; c++, x += v->ih * v->iw)
        for (row = 0; row < v->oh; row++)
            for (column = 0; column < v->ow; column++) {
                int32_t top = row * v->ih / v->oh, left = column * v->iw / v->ow;
                int32_t h = ((row + 1) * v->ih + v->oh - 1) / v->oh - top;
                int32_t w = ((column + 1) * v->iw + v->ow - 1) / v->ow - left;
                mean(o, i++, x + top * v->iw + left, v->iw, h, w, h * w);
            }
}

/* block add: put */
/* `inner` values of a for each of b: 1 where they are alike. The factor of b is `other`. */
static void add(const struct store *o, const int8_t *a, const int8_t *b, int32_t size, int32_t inner, int32_t other)
{
    int32_t i;
    for (i = 0; i < size; i++)
        put(o, i, (int64_t)a[i] * o->factor + (int64_t)b[i / inner] * other);
}

/* block multiply: put */
static void multiply(const struct store *o, const int8_t *a, const int8_t *b, int32_t size, int32_t inner)
{
    int32_t i;
    for (i = 0; i < size; i++)
        put(o, i, (int64_t)(a[i] * b[i / inner]) * o->factor);
}

/* block copy: put */
/* To the outputs from `at` on, at their scale. */
static void copy(const struct store *o, const int8_t *x, int32_t at, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        put(o, at + i, (int64_t)x[i] * o->factor);
}

/* block leaky_relu: put */
/* The factor of what is below 0 is `below`. */
static void leaky_relu(const struct store *o, const int8_t *x, int32_t size, int32_t below)
{
    int32_t i;
    for (i = 0; i < size; i++)
        put(o, i, (int64_t)x[i] * (x[i] < 0 ? below : o->factor));
}

/* block input: store rounded */
/* x at the scale `offset` / 2^`offset_shift` in 65536ths. */
static int64_t input(const struct store *o, int32_t x)
{
    return rounded((int64_t)x * o->offset, o->offset_shift);
}

/* block hard_sigmoid: put input */
/* clamp(x + 3, 0, 6), times x where `swish`; the factor has the sixth. */
static void hard_sigmoid(const struct store *o, const int8_t *x, int32_t size, int32_t swish)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        int64_t value = input(o, x[i]), gate = value + 196608;
        gate = gate < 0 ? 0 : gate > 393216 ? 393216 : gate;
        put(o, i, (swish ? rounded(gate * value, 16) : gate) * o->factor);
    }
}

/* block logistic: rounded */
/* 1 / (1 + exp(-x)) of x in 65536ths, in 2^-30: exp by powers of 2 and a polynomial of degree 4 between them. */
static int64_t logistic(int64_t x)
{
    int64_t t = x < 0 ? -x : x, e = 0;
    if (t < 1310720) {
        int64_t u = rounded(t * 94548, 16), f = (u & 65535) << 14;
        e = halved(7346532 * f, 30) - 57151877;
        e = halved(e * f, 30) + 257095898;
        e = halved(e * f, 30) - 744157487;
        e = (halved(e * f, 30) + 1073739778) >> (u >> 16);
    }
    t = ((int64_t)1 << 60) / (1073741824 + e);
    return x < 0 ? 1073741824 - t : t;
}

/* block sigmoid: put input logistic */
/* Times x where `swish`. */
static void sigmoid(const struct store *o, const int8_t *x, int32_t size, int32_t swish)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        int64_t value = input(o, x[i]), gate = rounded(logistic(value), 14);
        put(o, i, (swish ? rounded(gate * value, 16) : gate) * o->factor);
    }
}

/* block gelu: put input logistic */
/* x times logistic(1.5957691 x + 0.0713548 x^3), within 0.0005 of x times the normal distribution function. */
static void gelu(const struct store *o, const int8_t *x, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        int64_t value = input(o, x[i]), u = value < -524288 ? -524288 : value > 524288 ? 524288 : value;
        int64_t cube = rounded(rounded(u * u, 16) * u, 16);
        put(o, i, rounded(rounded(logistic(rounded(104580 * u + 4676 * cube, 16)), 14) * value, 16) * o->factor);
    }
}

/* block elu: put input logistic */
/* Below 0 exp(x) - 1, where exp(x) is logistic(x) / (1 - logistic(x)), times `below`. */
static void elu(const struct store *o, const int8_t *x, int32_t size, int32_t below)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        int64_t value = input(o, x[i]), gate = value < 0 ? logistic(value) : 0;
        put(o, i, value < 0 ? ((gate << 16) / (1073741824 - gate) - 65536) * below : value * o->factor);
    }
}

/* block hyperbolic: put input logistic */
static void hyperbolic(const struct store *o, const int8_t *x, int32_t size)
{
    int32_t i;
    for (i = 0; i < size; i++)
        put(o, i, (rounded(logistic(2 * input(o, x[i])), 13) - 65536) * o->factor);
}
