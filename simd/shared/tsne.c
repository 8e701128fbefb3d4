/* Forces on points of a t-SNE map. Lanes are points; all others pass by one after the other, each chain in their order. A lane costs a
 * division, beside which five sums and their products are cheap: FMA would gain nothing, and make the scalar path call a library. */
#include "shared/shared.h"
#include "vec.h"

void ISA_FN(tsne_forces)(float *forces, const float *x, const float *y, const float *p, size_t first, size_t n)
{
    vf one = vf_set1(1.0f);
    for (int lane = 0; lane < TSNE_POINTS; lane += VL) {
        vf xi = vf_load(x + first + lane), yi = vf_load(y + first + lane);
        vf attract_x = vf_zero(), attract_y = vf_zero(), repel_x = vf_zero(), repel_y = vf_zero(), z = vf_zero();
        for (size_t j = 0; j < n; j++) {
            vf dx = vf_sub(xi, vf_set1(x[j])), dy = vf_sub(yi, vf_set1(y[j]));
            vf q = vf_div(one, vf_add(vf_add(one, vf_mul(dx, dx)), vf_mul(dy, dy)));
            vf pq = vf_mul(vf_load(p + j * TSNE_POINTS + lane), q), qq = vf_mul(q, q);
            attract_x = vf_add(attract_x, vf_mul(pq, dx));
            attract_y = vf_add(attract_y, vf_mul(pq, dy));
            repel_x = vf_add(repel_x, vf_mul(qq, dx));
            repel_y = vf_add(repel_y, vf_mul(qq, dy));
            z = vf_add(z, q);
        }
        vf sums[TSNE_SUMS] = {attract_x, attract_y, repel_x, repel_y, z};
        for (int s = 0; s < TSNE_SUMS; s++)
            vf_store(forces + s * TSNE_POINTS + lane, sums[s]);
    }
}
