/* A folder of images for tests/end_to_end.sh: pictures FOLDER COUNT writes the first of the generated set as PNG, a subfolder a class
 * in train/, and every fifth group of ten in val/. */
#include "data/shapes.h"
#include "io/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int write_picture(const char *folder, int index)
{
    static uint8_t pixels[SHAPES_SIZE * SHAPES_SIZE * 3];
    char path[4096];
    struct buffer file = {.data = NULL};
    const char *class_name = shapes_class_names[shapes_draw(0, (uint64_t)index, pixels)];
    const char *split = index / SHAPES_CLASSES % 5 == 4 ? "val" : "train";
    snprintf(path, sizeof path, "%s/%s", folder, split);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", folder, split, class_name);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s/%04d.png", folder, split, class_name, index);
    picture_png(&file, pixels, SHAPES_SIZE, SHAPES_SIZE, 3);
    FILE *out = fopen(path, "wb");
    int wrong = !out || file.failed || fwrite(file.data, 1, file.size, out) != file.size;
    wrong |= out && fclose(out) != 0;
    buffer_free(&file);
    return wrong;
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0, wrong = count < 1 || (mkdir(argv[1], 0777) != 0);
    for (int i = 0; i < count && !wrong; i++)
        wrong = write_picture(argv[1], i);
    if (wrong)
        fprintf(stderr, "pictures FOLDER COUNT: FOLDER must not be there yet, and have room\n");
    return wrong;
}
