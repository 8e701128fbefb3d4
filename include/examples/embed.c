/* The features of one image: what another program compares, indexes or classifies. MODEL is a run's folder or a checkpoint.
 *
 *     cc embed.c $(pkg-config --cflags --libs simclr) && ./a.out runs/pictures cat.jpg */
#include <simclr/simclr.h>

#include <stdio.h>
#include <stdlib.h>

/* h of the set's only image, freed with free(). */
static float *embed(simclr_model *model, const simclr_dataset *set, struct simclr_error *err)
{
    bool broken = false;
    float *h = malloc((size_t)simclr_model_feature_dim(model) * sizeof *h);
    if (!h) {
        snprintf(err->text, sizeof err->text, "not enough memory");
        return NULL;
    }
    if (simclr_embed(model, set, h, NULL, &broken, err) != SIMCLR_OK || broken) {
        simclr_image *image = NULL;
        if (broken) /* says why */
            simclr_dataset_read(set, 0, &image, err);
        simclr_image_free(image);
        free(h);
        return NULL;
    }
    return h;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: embed MODEL IMAGE\n");
        return 2;
    }
    struct simclr_error err;
    simclr_engine *engine = NULL;
    simclr_model *model = NULL;
    simclr_dataset *set = NULL;
    const char *paths[] = {argv[2]};
    float *h = NULL;
    enum simclr_status status = simclr_engine_create(&engine, "auto", 0, &err);
    if (status == SIMCLR_OK)
        status = simclr_model_load(&model, engine, argv[1], 1, &err);
    if (status == SIMCLR_OK)
        status = simclr_dataset_open_files(&set, engine, paths, 1, NULL, &err);
    if (status == SIMCLR_OK)
        h = embed(model, set, &err);
    if (h)
        for (int i = 0; i < simclr_model_feature_dim(model); i++)
            printf("%.9g\n", (double)h[i]);
    else
        fprintf(stderr, "embed: %s\n", err.text);
    int failed = !h;
    free(h);
    simclr_dataset_free(set);
    simclr_model_free(model);
    simclr_engine_free(engine);
    return failed;
}
