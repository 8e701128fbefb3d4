#include "data/shapes.h"

#include "base/fmath.h"
#include "base/rng.h"

#include <math.h>

/* Colours, light, pose and scale are drawn alike for every class, so that neither the mean colour nor single pixels tell classes
 * apart; what does is form. Colours are muted: among saturated ones an encoder learns to know each picture by its palette, which
 * colour jitter does not hide, and its kNN falls below that of an untrained one. Everything is double arithmetic in a fixed order:
 * the same bytes on every machine. */

const char *const shapes_class_names[SHAPES_CLASSES] = {
    "disc", "ring", "square", "triangle", "cross", "star", "crescent", "stripes", "checker", "dots",
};
enum { DISC, RING, SQUARE, TRIANGLE, CROSS, STAR, CRESCENT, STRIPES, CHECKER, DOTS };
enum { SAMPLES = 4, GRID = 5 }; /* supersampling per side; corners per side of the background's noise */

static const double turn = 6.28318530717958647693;

struct colour {
    double v[3];
};

struct scene {
    int kind;
    double x, y, scale, cosine, sine, squash; /* pose: centre and size in units of half the picture */
    double shape;                             /* in [0, 1): thickness, duty or size of what is drawn */
    double frequency, phase[2];               /* textures: periods a unit, offsets in periods */
    struct colour ink[2], paper[2];           /* each runs from one colour to the other across the picture */
    double ink_slope[2], paper_slope[2];      /* directions in which they run */
    double noise[2][GRID * GRID];             /* slow variations of ink and paper */
    double light_slope[2];
    double grain;
};

static double between(struct rng *rng, double low, double high)
{
    return low + (high - low) * (double)rng_float(rng);
}

static double luma(const struct colour *c)
{
    return 0.299 * c->v[0] + 0.587 * c->v[1] + 0.114 * c->v[2];
}

static struct colour random_colour(struct rng *rng)
{
    struct colour c;
    double grey = between(rng, 0.1, 0.9);
    for (int i = 0; i < 3; i++)
        c.v[i] = grey + between(rng, -0.18, 0.18);
    return c;
}

/* A second colour near the first: what a light or a glaze makes of it. */
static struct colour neighbour(const struct colour *c, struct rng *rng)
{
    struct colour n;
    for (int i = 0; i < 3; i++)
        n.v[i] = c->v[i] + between(rng, -0.1, 0.1);
    return n;
}

static void direction(double slope[2], double strength, struct rng *rng)
{
    double angle = between(rng, 0.0, turn);
    slope[0] = strength * fm_cos(angle);
    slope[1] = strength * fm_sin(angle);
}

static void draw_pose(struct scene *s, struct rng *rng)
{
    double angle = between(rng, 0.0, turn);
    s->cosine = fm_cos(angle);
    s->sine = fm_sin(angle);
    s->x = between(rng, -0.25, 0.25);
    s->y = between(rng, -0.25, 0.25);
    s->scale = between(rng, 0.6, 0.95);
    s->squash = between(rng, 0.8, 1.0);
    s->shape = between(rng, 0.0, 1.0);
    s->frequency = between(rng, 1.3, 2.4);
    s->phase[0] = between(rng, 0.0, 1.0);
    s->phase[1] = between(rng, 0.0, 1.0);
}

/* Ink and paper of any colours that differ enough in lightness to be told apart in grey. */
static void draw_colours(struct scene *s, struct rng *rng)
{
    double difference;
    do {
        s->ink[0] = random_colour(rng);
        s->paper[0] = random_colour(rng);
        difference = luma(&s->ink[0]) - luma(&s->paper[0]);
    } while (difference < 0.25 && difference > -0.25);
    s->ink[1] = neighbour(&s->ink[0], rng);
    s->paper[1] = neighbour(&s->paper[0], rng);
    direction(s->ink_slope, 0.5, rng);
    direction(s->paper_slope, 0.5, rng);
    direction(s->light_slope, between(rng, 0.0, 0.2), rng);
    for (int layer = 0; layer < 2; layer++) {
        double strength = between(rng, 0.0, 0.08);
        for (int i = 0; i < GRID * GRID; i++)
            s->noise[layer][i] = between(rng, -strength, strength);
    }
    s->grain = between(rng, 0.0, 0.06);
}

/* Five-pointed star: inside at least four of the five half-planes of the pentagram's lines. */
static int in_star(double u, double v)
{
    static const double normal[5][2] = {
        {0.0, 1.0}, {0.951056516295153572, 0.309016994374947424}, {0.587785252292473129, -0.809016994374947424},
        {-0.587785252292473129, -0.809016994374947424}, {-0.951056516295153572, 0.309016994374947424},
    };
    int inside = 0;
    for (int i = 0; i < 5; i++)
        inside += normal[i][0] * u + normal[i][1] * v < 0.36;
    return inside >= 4;
}

static int in_triangle(double u, double v)
{
    const double half_root3 = 0.866025403784438647;
    return v > -0.5 && half_root3 * u + 0.5 * v < 0.5 && 0.5 * v - half_root3 * u < 0.5;
}

static int within(double u, double v, double radius)
{
    return u * u + v * v < radius * radius;
}

static double fraction(double x)
{
    return x - floor(x);
}

/* Whether there is ink at (u, v): coordinates of the turned and scaled object, or of the turned texture. */
static int has_ink(const struct scene *s, double u, double v)
{
    double au = u < 0 ? -u : u, av = v < 0 ? -v : v, t = s->shape;
    double p = u * s->frequency + s->phase[0], q = v * s->frequency + s->phase[1];
    switch (s->kind) {
    case DISC: return within(u, v, 0.85);
    case RING: return within(u, v, 0.95) && !within(u, v, 0.45 + 0.2 * t);
    case SQUARE: return au < 0.75 && av < 0.75;
    case TRIANGLE: return in_triangle(u, v);
    case CROSS: return (au < 0.2 + 0.12 * t && av < 0.95) || (av < 0.2 + 0.12 * t && au < 0.95);
    case STAR: return in_star(u, v);
    case CRESCENT: return within(u, v, 0.95) && !within(u - 0.45 - 0.1 * t, v, 0.8);
    case STRIPES: return fraction(p) < 0.35 + 0.3 * t;
    case CHECKER: return (fraction(0.5 * p) < 0.5) != (fraction(0.5 * q) < 0.5);
    default: return within(fraction(p) - 0.5, fraction(q) - 0.5, 0.26 + 0.12 * t); /* DOTS */
    }
}

/* Share of ink under pixel (px, py), from SAMPLES x SAMPLES points. */
static double coverage(const struct scene *s, int px, int py)
{
    int texture = s->kind >= STRIPES, hits = 0;
    double size = texture ? 1.0 : s->scale;
    for (int j = 0; j < SAMPLES; j++)
        for (int i = 0; i < SAMPLES; i++) {
            double x = (px + (i + 0.5) / SAMPLES) * (2.0 / SHAPES_SIZE) - 1.0 - s->x;
            double y = (py + (j + 0.5) / SAMPLES) * (2.0 / SHAPES_SIZE) - 1.0 - s->y;
            double u = (s->cosine * x + s->sine * y) / size, v = (s->cosine * y - s->sine * x) / (size * s->squash);
            hits += has_ink(s, u, v);
        }
    return hits / (double)(SAMPLES * SAMPLES);
}

/* Bilinear between the grid's corners, x and y in [0, 1). */
static double slow_noise(const double *grid, double x, double y)
{
    double gx = x * (GRID - 1), gy = y * (GRID - 1);
    int ix = (int)gx, iy = (int)gy;
    double fx = gx - ix, fy = gy - iy;
    const double *corner = grid + iy * GRID + ix;
    double top = corner[0] + (corner[1] - corner[0]) * fx;
    double bottom = corner[GRID] + (corner[GRID + 1] - corner[GRID]) * fx;
    return top + (bottom - top) * fy;
}

static uint8_t to_byte(double x)
{
    return (uint8_t)floor((x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x) * 255.0 + 0.5);
}

static void shade_pixel(uint8_t *rgb, const struct scene *s, int px, int py, struct rng *rng)
{
    double x = (px + 0.5) / SHAPES_SIZE, y = (py + 0.5) / SHAPES_SIZE, cx = x - 0.5, cy = y - 0.5;
    double ink_share = coverage(s, px, py);
    double ink_run = 0.5 + s->ink_slope[0] * cx + s->ink_slope[1] * cy;
    double paper_run = 0.5 + s->paper_slope[0] * cx + s->paper_slope[1] * cy;
    double ink_noise = slow_noise(s->noise[0], x, y), paper_noise = slow_noise(s->noise[1], x, y);
    double light = 1.0 + 2.0 * (s->light_slope[0] * cx + s->light_slope[1] * cy);
    for (int c = 0; c < 3; c++) {
        double ink = s->ink[0].v[c] + (s->ink[1].v[c] - s->ink[0].v[c]) * ink_run + ink_noise;
        double paper = s->paper[0].v[c] + (s->paper[1].v[c] - s->paper[0].v[c]) * paper_run + paper_noise;
        double value = (paper + (ink - paper) * ink_share) * light;
        rgb[c] = to_byte(value + s->grain * (2.0 * (double)rng_float(rng) - 1.0));
    }
}

int shapes_draw(uint64_t seed, uint64_t index, uint8_t *rgb)
{
    struct rng rng = rng_stream(seed, RNG_SHAPES, 0, index);
    struct scene scene = {.kind = (int)(index % SHAPES_CLASSES)};
    draw_pose(&scene, &rng);
    draw_colours(&scene, &rng);
    for (int y = 0; y < SHAPES_SIZE; y++)
        for (int x = 0; x < SHAPES_SIZE; x++)
            shade_pixel(rgb + (y * SHAPES_SIZE + x) * 3, &scene, x, y, &rng);
    return scene.kind;
}
