/* Training-mode batch norm (Ioffe and Szegedy, 1502.03167) with an optional residual sum and ReLU, both directions.

   A channels-last tensor is read as a flat array in which the channel of element i is i % C. It is cut into rows of
   `width` elements, the smallest multiple of C and of GROUP, so that every row has the same pattern of channels and
   is a whole number of vectors for any C; per-channel constants are repeated to that width ("lanes"). What is left
   behind the last whole row, the tail, is fewer than `width` elements.

   Rows are dealt out in blocks whose size depends on the shape alone. Sums run in fp32 inside a block and in double
   over the blocks, in order: the result has the same bits for any number of threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 16384      /* elements: 32 KB of bf16, so that the second reading of a block hits the cache */
#define MIN_ROWS 32      /* of wide tensors, so that partial sums stay few against the data */

/* Vectors as wide as the registers: wider ones are taken apart into single numbers, 10 x slower (measured with gcc 12). */
#if defined __AVX512F__
#define LANES 16
#elif defined __AVX2__
#define LANES 8
#else
#define LANES 4
#endif
#define GROUP (4 * LANES) /* independent sums, enough to hide the latency of an addition */

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));

INLINE float widen(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

INLINE uint16_t narrow(float f) { /* to nearest, ties to even; NaN stays NaN */
    uint32_t u;
    memcpy(&u, &f, 4);
    return f != f ? 0x7fc0 : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

/* Two vectors at a time, copied one by one: gcc sends a copy of both through the stack, twice as slow. Those of bf16 hold the even and the odd elements: a shift and a mask, where the natural order
   would take shuffles. Whatever is kept per lane is kept in that order, see `slot`. */
INLINE void load(vf f[2], const void *p, long i, int bf16) {
    if (bf16) {
        vu u;
        memcpy(&u, (const uint16_t *)p + i, sizeof u);
        f[0] = (vf)(u << 16);
        f[1] = (vf)(u & 0xffff0000);
    } else
        for (int k = 0; k < 2; k++) memcpy(f + k, (const float *)p + i + k * LANES, sizeof *f);
}

/* Rounds to nearest, ties to even. A NaN of arithmetic has a zero tail and so stays one. */
INLINE void store(void *p, long i, const vf f[2], int bf16) {
    if (bf16) {
        vu even = (vu)f[0], odd = (vu)f[1];
        even += 0x7fff + ((even >> 16) & 1);
        odd += 0x7fff + ((odd >> 16) & 1);
        even = (even >> 16) | (odd & 0xffff0000);
        memcpy((uint16_t *)p + i, &even, sizeof even);
    } else
        for (int k = 0; k < 2; k++) memcpy((float *)p + i + k * LANES, f + k, sizeof *f);
}

/* Where in an array of lanes element j of a row is. */
INLINE long slot(long j, int bf16) {
    long in = j % (2 * LANES);
    return bf16 ? j - in + (in & 1) * LANES + in / 2 : j;
}

INLINE float load1(const void *p, long i, int bf16) {
    return bf16 ? widen(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

INLINE void store1(void *p, long i, float f, int bf16) {
    if (bf16) ((uint16_t *)p)[i] = narrow(f);
    else ((float *)p)[i] = f;
}

INLINE void lanes(vf *f, const float *p, int n) {
    for (int k = 0; k < n; k++) memcpy(f + k, p + k * LANES, sizeof *f);
}

INLINE void keep_lanes(float *p, const vf *f) {
    for (int k = 0; k < 4; k++) memcpy(p + k * LANES, f + k, sizeof *f);
}

/* f where not (y <= 0): NaN passes, as in PyTorch's ReLU and its gradient */
INLINE vf gate(vf f, vf y) { return (vf)((vi)f & ~(y <= 0.0f)); }
INLINE float gate1(float f, float y) { return y <= 0.0f ? 0.0f : f; }

typedef struct {
    long channels, width, rows, tail, block, blocks; /* `block` rows each; the tail belongs to the last */
} Plan;

static Plan plan(long pixels, long channels) {
    long a = channels, b = GROUP;
    while (b) { long r = a % b; a = b; b = r; }
    Plan p = {.channels = channels, .width = channels / a * GROUP};
    p.rows = pixels * channels / p.width;
    p.tail = pixels * channels % p.width;
    p.block = BLOCK / p.width > MIN_ROWS ? BLOCK / p.width : MIN_ROWS;
    p.blocks = p.rows ? (p.rows + p.block - 1) / p.block : 1;
    return p;
}

typedef struct { long first, last, tail, count; } Range; /* rows [first, last), tail elements, pixels in all */

INLINE Range range(Plan p, long b) {
    long last = b + 1 < p.blocks ? (b + 1) * p.block : p.rows;
    long tail = b + 1 < p.blocks ? 0 : p.tail;
    Range r = {b * p.block, last, tail, ((last - b * p.block) * p.width + tail) / p.channels};
    return r;
}

INLINE void repeat(float *lane, const float *channel, Plan p, int bf16) {
    for (long j = 0; j < p.width; j += p.channels)
        for (long c = 0; c < p.channels; c++) lane[slot(j + c, bf16)] = channel[c];
}

INLINE void fold(float *channel, const float *lane, Plan p, int bf16) {
    for (long c = 0; c < p.channels; c++) channel[c] = lane[slot(c, bf16)];
    for (long j = p.channels; j < p.width; j += p.channels)
        for (long c = 0; c < p.channels; c++) channel[c] += lane[slot(j + c, bf16)];
}

/* Visit the rows [top, bottom) of each tile in columns [j, j + GROUP): few enough rows to read memory nearly in its order
   where rows are long; all of them, with sums that stay in registers, where a row is one group. */
#define EACH_TILE(...)                                                                        \
    for (long top = r.first, step = w == GROUP ? p.block : 4; top < r.last; top += step) {        \
        long bottom = top + step < r.last ? top + step : r.last;                               \
        for (long j = 0; j < w; j += GROUP) { __VA_ARGS__ }                                       \
    }

/* Mean and sum of squared deviations of one block: first a rough mean, then both relative to it, so that no digits
   cancel whatever the mean is. `own` is scratch of 3 x width. */
INLINE void moments(const void *x, Plan p, long b, float *mean, float *squares, float *own, int bf16) {
    Range r = range(p, b);
    long w = p.width, end = p.rows * w;
    float *shift = own, *sum = own + w, *square = own + 2 * w;
    memset(sum, 0, 2 * w * sizeof(float));
    EACH_TILE(
        vf s[4]; vf f[4];
        lanes(s, sum + j, 4);
        for (long i = top * w + j; i < bottom * w; i += w) {
            load(f, x, i, bf16);
            load(f + 2, x, i + 2 * LANES, bf16);
            for (int k = 0; k < 4; k++) s[k] += f[k];
        }
        keep_lanes(sum + j, s);)
    for (long i = 0; i < r.tail; i++) sum[slot(i, bf16)] += load1(x, end + i, bf16);
    fold(mean, sum, p, bf16);
    for (long c = 0; c < p.channels; c++) mean[c] /= r.count;
    repeat(shift, mean, p, bf16);
    memset(sum, 0, 2 * w * sizeof(float));
    EACH_TILE(
        vf s[4]; vf q[4]; vf m[4]; vf f[4];
        lanes(s, sum + j, 4);
        lanes(q, square + j, 4);
        lanes(m, shift + j, 4);
        for (long i = top * w + j; i < bottom * w; i += w) {
            load(f, x, i, bf16);
            load(f + 2, x, i + 2 * LANES, bf16);
            for (int k = 0; k < 4; k++) {
                f[k] -= m[k];
                s[k] += f[k];
                q[k] += f[k] * f[k];
            }
        }
        keep_lanes(sum + j, s);
        keep_lanes(square + j, q);)
    for (long i = 0; i < r.tail; i++) {
        long at = slot(i, bf16);
        float d = load1(x, end + i, bf16) - shift[at];
        sum[at] += d;
        square[at] += d * d;
    }
    fold(shift, sum, p, bf16);
    fold(squares, square, p, bf16);
    for (long c = 0; c < p.channels; c++) {
        mean[c] += shift[c] / r.count;
        squares[c] -= shift[c] * shift[c] / r.count;
    }
}

/* y = relu((x - mean) * scale + beta + residual) */
INLINE void apply(const void *x, const void *residual, void *y, Plan p, long b, const float *mean,
                  const float *scale, const float *beta, int bf16, int relu, int sum) {
    Range r = range(p, b);
    long w = p.width, end = p.rows * w;
    for (long row = r.first * w; row < r.last * w; row += w)
        for (long j = 0; j < w; j += 2 * LANES) {
            vf f[2], m[2], a[2], c[2], h[2] = {{0}};
            load(f, x, row + j, bf16);
            lanes(m, mean + j, 2);
            lanes(a, scale + j, 2);
            lanes(c, beta + j, 2);
            if (sum) load(h, residual, row + j, bf16);
            for (int k = 0; k < 2; k++) {
                f[k] = (f[k] - m[k]) * a[k] + c[k];
                if (sum) f[k] += h[k];
                if (relu) f[k] = gate(f[k], f[k]);
            }
            store(y, row + j, f, bf16);
        }
    for (long i = 0; i < r.tail; i++) {
        long at = slot(i, bf16);
        float f = (load1(x, end + i, bf16) - mean[at]) * scale[at] + beta[at];
        if (sum) f += load1(residual, end + i, bf16);
        store1(y, end + i, relu ? gate1(f, f) : f, bf16);
    }
}

/* Sums of g and of g * (x - mean) over one block, where g is the gradient behind the ReLU, kept if asked for. */
INLINE void gradient_sums(const void *dy, const void *x, const void *y, void *g, Plan p, long b, const float *mean,
                          float *plain, float *weighted, float *own, int bf16, int relu, int keep) {
    Range r = range(p, b);
    long w = p.width, end = p.rows * w;
    memset(own, 0, 2 * w * sizeof(float));
    EACH_TILE(
        vf s[4]; vf q[4]; vf m[4]; vf d[4]; vf f[4]; vf h[4];
        lanes(s, own + j, 4);
        lanes(q, own + w + j, 4);
        lanes(m, mean + j, 4);
        for (long i = top * w + j; i < bottom * w; i += w)
            for (int k = 0; k < 4; k++) {
                long at = i + k * LANES;
                if (k % 2 == 0) {
                    load(d + k, dy, at, bf16);
                    load(f + k, x, at, bf16);
                    if (relu) load(h + k, y, at, bf16);
                }
                if (relu) d[k] = gate(d[k], h[k]);
                s[k] += d[k];
                q[k] += d[k] * (f[k] - m[k]);
                if (keep && k % 2) store(g, at - LANES, d + k - 1, bf16);
            }
        keep_lanes(own + j, s);
        keep_lanes(own + w + j, q);)
    for (long i = 0; i < r.tail; i++) {
        long at = slot(i, bf16);
        float d = load1(dy, end + i, bf16);
        if (relu) d = gate1(d, load1(y, end + i, bf16));
        if (keep) store1(g, end + i, d, bf16);
        own[at] += d;
        own[w + at] += d * (load1(x, end + i, bf16) - mean[at]);
    }
    fold(plain, own, p, bf16);
    fold(weighted, own + w, p, bf16);
}

/* dx = scale * g + slope * (x - mean) + offset */
INLINE void gradient(const void *dy, const void *x, const void *y, void *dx, Plan p, long b, const float *mean,
                     const float *scale, const float *slope, const float *offset, int bf16, int relu) {
    Range r = range(p, b);
    long w = p.width, end = p.rows * w;
    for (long row = r.first * w; row < r.last * w; row += w)
        for (long j = 0; j < w; j += 2 * LANES) {
            vf d[2], f[2], m[2], a[2], b[2], c[2], h[2];
            load(d, dy, row + j, bf16);
            load(f, x, row + j, bf16);
            if (relu) load(h, y, row + j, bf16);
            lanes(m, mean + j, 2);
            lanes(a, scale + j, 2);
            lanes(b, slope + j, 2);
            lanes(c, offset + j, 2);
            for (int k = 0; k < 2; k++) {
                if (relu) d[k] = gate(d[k], h[k]);
                d[k] = d[k] * a[k] + ((f[k] - m[k]) * b[k] + c[k]);
            }
            store(dx, row + j, d, bf16);
        }
    for (long i = 0; i < r.tail; i++) {
        long at = slot(i, bf16);
        float d = load1(dy, end + i, bf16), c = load1(x, end + i, bf16) - mean[at];
        if (relu) d = gate1(d, load1(y, end + i, bf16));
        store1(dx, end + i, d * scale[at] + (c * slope[at] + offset[at]), bf16);
    }
}

int omp_get_thread_num(void);

/* Call a block function with its flags as constants, so that each combination compiles to a loop without branches. */
#define FLAG(flag, call) if (flag) { enum { flag##_ = 1 }; call; } else { enum { flag##_ = 0 }; call; }
#define EACH_BLOCK(body)                                                                   \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")      \
    for (long b = 0; b < p.blocks; b++) { body; }

long skipline_scratch(long pixels, long channels, long threads) { /* floats */
    Plan p = plan(pixels, channels);
    return p.blocks * 2 * channels + (4 + 3 * threads) * p.width;
}

/* mean and invstd come back for the backward pass; `residual` may be null. */
void skipline_forward(const void *x, const void *residual, void *y, const float *gamma, const float *beta,
                      float *running_mean, float *running_var, float *mean, float *invstd, float *scratch,
                      long pixels, long channels, double eps, double momentum, int bf16, int relu, int threads) {
    Plan p = plan(pixels, channels);
    long w = p.width, n = p.blocks;
    long whole = range(p, 0).count, last = range(p, n - 1).count;
    float *lane = scratch, *own = lane + 4 * w, *part = own + 3 * w * threads;
    EACH_BLOCK(float *mine = own + 3 * w * omp_get_thread_num(); float *at = part + b * 2 * channels;
               FLAG(bf16, moments(x, p, b, at, at + channels, mine, bf16_)))
    for (long c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (long b = 0; b < n; b++) sum += (double)part[b * 2 * channels + c] * (b < n - 1 ? whole : last);
        double mu = sum / pixels;
        for (long b = 0; b < n; b++) {
            double d = part[b * 2 * channels + c] - mu;
            squares += part[(b * 2 + 1) * channels + c] + d * d * (b < n - 1 ? whole : last);
        }
        mean[c] = mu;
        invstd[c] = 1 / sqrt(squares / pixels + eps);
        running_mean[c] = momentum * mu + (1 - momentum) * running_mean[c];
        running_var[c] = momentum * (squares / (pixels - 1)) + (1 - momentum) * running_var[c];
        part[c] = gamma[c] * invstd[c]; /* block 0's mean of this channel is not needed any more */
    }
    repeat(lane, mean, p, bf16);
    repeat(lane + w, part, p, bf16);
    repeat(lane + 2 * w, beta, p, bf16);
    int sum = residual != 0;
    EACH_BLOCK(FLAG(bf16, FLAG(relu, FLAG(sum, apply(x, residual, y, p, b, lane, lane + w, lane + 2 * w, bf16_, relu_, sum_)))))
}

/* y is read only with relu; `g` may be null, else it receives the gradient of the residual. */
void skipline_backward(const void *dy, const void *x, const void *y, void *dx, void *g, const float *gamma,
                       const float *mean, const float *invstd, float *dgamma, float *dbeta, float *scratch,
                       long pixels, long channels, int bf16, int relu, int threads) {
    Plan p = plan(pixels, channels);
    long w = p.width, n = p.blocks;
    float *lane = scratch, *own = lane + 4 * w, *part = own + 3 * w * threads;
    int keep = g != 0;
    repeat(lane, mean, p, bf16);
    EACH_BLOCK(float *mine = own + 3 * w * omp_get_thread_num(); float *at = part + b * 2 * channels;
               FLAG(bf16, FLAG(relu, FLAG(keep, gradient_sums(dy, x, y, g, p, b, lane, at, at + channels, mine, bf16_, relu_, keep_)))))
    for (long c = 0; c < channels; c++) {
        double plain = 0, weighted = 0, scale = (double)gamma[c] * invstd[c];
        for (long b = 0; b < n; b++) {
            plain += part[b * 2 * channels + c];
            weighted += part[(b * 2 + 1) * channels + c];
        }
        dbeta[c] = plain;
        dgamma[c] = weighted * invstd[c];
        own[c] = scale;
        own[w + c] = -scale * invstd[c] * invstd[c] * weighted / pixels;
        own[2 * w + c] = -scale * plain / pixels;
    }
    for (int k = 0; k < 3; k++) repeat(lane + (k + 1) * w, own + k * w, p, bf16);
    int gated = relu && !keep; /* what was kept is gated already */
    const void *source = keep ? g : dy;
    EACH_BLOCK(FLAG(bf16, FLAG(gated, gradient(source, x, y, dx, p, b, lane, lane + w, lane + 2 * w, lane + 3 * w, bf16_, gated_))))
}
