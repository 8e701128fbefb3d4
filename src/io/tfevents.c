#include "io/tfevents.h"

#include "protobuf.h"

#if HAVE_PROTOBUF_C

#include "base/crc32c.h"
#include "tfevents.pb-c.h"

enum { MOST_BYTES = 4096 }; /* of an event */

bool tfevents_supported(void)
{
    return true;
}

static void add_little_endian(struct buffer *file, uint64_t x, int bytes)
{
    uint8_t out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(x >> 8 * i);
    buffer_add(file, out, (size_t)bytes);
}

/* Masked, since the CRC of a text that holds its own CRC says little. */
static void add_crc(struct buffer *file, const void *data, size_t size)
{
    uint32_t crc = crc32c(data, size);
    add_little_endian(file, (uint32_t)((crc >> 15 | crc << 17) + UINT32_C(0xa282ead8)), 4);
}

/* A TFRecord: length, its CRC, data, its CRC. */
static void add_event(struct buffer *file, const Tfevents__Event *event)
{
    uint8_t bytes[MOST_BYTES];
    size_t size = tfevents__event__get_packed_size(event), start = file->size;
    if (size > sizeof bytes) {
        file->failed = true;
        return;
    }
    tfevents__event__pack(event, bytes);
    add_little_endian(file, size, 8);
    if (!file->failed)
        add_crc(file, file->data + start, 8);
    buffer_add(file, bytes, size);
    add_crc(file, bytes, size);
}

void tfevents_begin(struct buffer *file, double wall_time)
{
    Tfevents__Event event = TFEVENTS__EVENT__INIT;
    event.wall_time = wall_time;
    event.file_version = (char *)"brain.Event:2";
    add_event(file, &event);
}

void tfevents_scalars(struct buffer *file, double wall_time, int64_t step, const struct tfevents_scalar *scalars, size_t count)
{
    Tfevents__Event event = TFEVENTS__EVENT__INIT;
    Tfevents__Summary summary = TFEVENTS__SUMMARY__INIT;
    Tfevents__Summary__Value values[TFEVENTS_SCALARS], *list[TFEVENTS_SCALARS];
    for (size_t i = 0; i < count; i++) {
        list[i] = &values[i];
        tfevents__summary__value__init(list[i]);
        values[i].tag = (char *)scalars[i].tag;
        values[i].value_case = TFEVENTS__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
        values[i].simple_value = scalars[i].value;
    }
    summary.n_value = count;
    summary.value = list;
    event.wall_time = wall_time;
    event.step = step;
    event.summary = &summary;
    add_event(file, &event);
}

#else

bool tfevents_supported(void)
{
    return false;
}

void tfevents_begin(struct buffer *file, double wall_time)
{
    (void)file, (void)wall_time;
}

void tfevents_scalars(struct buffer *file, double wall_time, int64_t step, const struct tfevents_scalar *scalars, size_t count)
{
    (void)file, (void)wall_time, (void)step, (void)scalars, (void)count;
}

#endif
