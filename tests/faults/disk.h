/* tests/faults/disk.h: what a disk may hold after a power failure. A model without mercy: what was not synced is there or is not, each write and
 * each name for itself; a file's sync does not keep its name, a folder's sync keeps the names in it and nothing else. Renames are whole. */
#ifndef GRID_TESTS_FAULTS_DISK_H
#define GRID_TESTS_FAULTS_DISK_H

#include "tests/faults/tape.h"

/* What becomes of one operation that was not synced. */
enum disk_fate { DISK_LOST, DISK_KEPT, DISK_ZEROS /* of a write: the file has grown, the bytes have not come */ };

struct disk; /* a tree of files in memory */

/* All of a folder, as safe. */
struct disk *disk_load(const char *folder);
void disk_destroy(struct disk *d);

/* A tape made in that folder, understood: which nodes its operations are about, and which sync keeps each of them. */
struct disk_course;
struct disk_course *disk_course_create(const struct disk *before, const struct tape *t);
void disk_course_destroy(struct disk_course *c);

/* Whether operation `op` (of those before `end`) hangs in the air when the power fails just before operation `end`. */
bool disk_is_pending(const struct disk_course *c, uint32_t op, uint32_t end);

/* The disk then. `fates` are by operation, and heeded for pending ones. */
struct disk *disk_after(const struct disk_course *c, uint32_t end, const uint8_t *fates);

/* Equal for equal trees. */
uint64_t disk_hash(const struct disk *d);

/* Makes the files in a folder, which is empty. */
void disk_write(const struct disk *d, const char *folder);

#endif
