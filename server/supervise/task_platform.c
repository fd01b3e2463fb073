/* Taking names apart. */
#include "server/supervise/task_platform.h"

#include <string.h>

static const char *extension_in(const char *text)
{
    const char *dot = strrchr(text, '.');
    return dot && dot != text ? dot : text + strlen(text);
}

void task_name_read(const char *entry, bool folder, struct task_name *out)
{
    const char *at = strrchr(entry, '@');
    *out = (struct task_name){.has_platform = at != NULL, .extension = folder ? entry + strlen(entry) : extension_in(at ? at : entry)};
    const char *end = at ? at : out->extension;
    out->name = slice_of(entry, (size_t) (end - entry));
    if (at)
        out->platform = slice_of(at + 1, (size_t) (out->extension - at - 1));
}

static bool is_small(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool task_platform_is_sound(struct slice platform)
{
    size_t dashes = 0;
    for (size_t i = 0; i < platform.size; i++) {
        if (platform.data[i] == '-')
            dashes++;
        else if (!is_small(platform.data[i]))
            return false;
    }
    return dashes == 1 && platform.size <= TASK_PLATFORM_MAX && platform.data[0] != '-' && platform.data[platform.size - 1] != '-';
}
