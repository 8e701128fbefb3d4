/* Ten steps of training on images that lie in memory, and a checkpoint in the folder that is named.
 *
 *     cc train.c $(pkg-config --cflags --libs simclr) -lm && mkdir run && ./a.out run */
#include <simclr/simclr.h>

#include <math.h>
#include <stdio.h>

enum { IMAGES = 40, SIDE = 8 };

/* A ramp of two colours each, turned a little from image to image. */
static void draw(uint8_t *pixels, int image)
{
    float angle = 0.7f * (float)image, dx = cosf(angle), dy = sinf(angle);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++, pixels += 3) {
            float shade = 0.5f + (dx * (float)(x - SIDE / 2) + dy * (float)(y - SIDE / 2)) / (2 * SIDE);
            pixels[0] = (uint8_t)(255 * shade);
            pixels[1] = (uint8_t)(image * 53 % 256);
            pixels[2] = (uint8_t)(255 - pixels[0]);
        }
}

static void tell(void *ctx, enum simclr_log_level level, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s%s\n", level == SIMCLR_LOG_WARNING ? "warning: " : "", text);
}

static enum simclr_status train(simclr_trainer *trainer, int steps, const char *folder, struct simclr_error *err)
{
    for (int step = 1; step <= steps; step++) {
        double loss;
        enum simclr_status status = simclr_trainer_step(trainer, &loss, err);
        if (status != SIMCLR_OK)
            return status;
        printf("step %d: loss %.4f\n", step, loss);
    }
    return simclr_trainer_save(trainer, folder, err);
}

int main(int argc, char **argv)
{
    static uint8_t pixels[IMAGES * SIDE * SIDE * 3];
    static const char *const settings[] = {"arch=resnet18", "width=0.25", "batch-size=8", "epochs=2", "temperature=0.5", "augment=cifar",
                                           "out-dim=32",    "lr=0.001",   NULL};
    if (argc != 2) {
        fprintf(stderr, "usage: train FOLDER\n");
        return 2;
    }
    for (int i = 0; i < IMAGES; i++)
        draw(pixels + i * SIDE * SIDE * 3, i);

    struct simclr_error err;
    simclr_engine *engine = NULL;
    simclr_dataset *set = NULL;
    simclr_trainer *trainer = NULL;
    enum simclr_status status = simclr_engine_create(&engine, "auto", 0, &err);
    if (status == SIMCLR_OK) {
        simclr_engine_set_log(engine, tell, NULL);
        status = simclr_dataset_from_arrays(&set, engine, pixels, NULL, IMAGES, SIDE, SIDE, 3, &err);
    }
    if (status == SIMCLR_OK)
        status = simclr_trainer_create(&trainer, engine, set, settings, &err);
    if (status == SIMCLR_OK)
        status = train(trainer, 10, argv[1], &err);
    if (status != SIMCLR_OK)
        fprintf(stderr, "train: %s\n", err.text);
    simclr_trainer_free(trainer);
    simclr_dataset_free(set);
    simclr_engine_free(engine);
    return status == SIMCLR_OK ? 0 : 1;
}
