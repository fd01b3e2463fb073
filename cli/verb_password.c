/* grid password: sets the grid's password, read from a terminal without echo or from a file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"
#include "trust/weak_password.h"

enum { PASSWORD_MAX = 1024 };

static void cut_line_end(struct buf *text)
{
    while (text->size > 0 && (text->data[text->size - 1] == '\n' || text->data[text->size - 1] == '\r'))
        text->size--;
}

/* One line, or the file's end. */
static int read_line(int fd, struct buf *out)
{
    uint8_t byte;
    ssize_t got;
    while ((got = read(fd, &byte, 1)) == 1 && byte != '\n')
        if (buf_append_byte(out, byte) != 0)
            return cli_fail(GRID_USAGE, "a password has at most %d bytes: give a shorter one", PASSWORD_MAX);
    cut_line_end(out);
    return got < 0 ? cli_fail(GRID_FAILED, "the password cannot be read (%s): give it in a file with --password-file FILE", strerror(errno)) : GRID_DONE;
}

static int read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(GRID_USAGE, "--password-file: %s cannot be read (%s): give a file of yours that holds the password", path, strerror(errno));
    struct stat st;
    bool is_open = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0;
    int code = is_open ? cli_fail(GRID_USAGE, "--password-file: others than its owner may read %s: chmod 600 it", path) : read_line(fd, out);
    close(fd);
    return code;
}

static int ask_terminal(int fd, const char *prompt, struct buf *out)
{
    struct termios before, quiet;
    if (tcgetattr(fd, &before) != 0)
        return cli_fail(GRID_FAILED, "the terminal cannot be made quiet: give --password-file FILE");
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t) ECHO;
    tcsetattr(fd, TCSAFLUSH, &quiet);
    dprintf(fd, "%s: ", prompt);
    int code = read_line(fd, out);
    tcsetattr(fd, TCSAFLUSH, &before);
    dprintf(fd, "\n");
    return code;
}

static int read_terminal(struct buf *out)
{
    struct buf again;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(GRID_USAGE, "there is no terminal to ask for the password: give --password-file FILE");
    buf_init(&again, PASSWORD_MAX);
    int code = ask_terminal(fd, "the grid's new password", out);
    if (code == GRID_DONE)
        code = ask_terminal(fd, "again", &again);
    if (code == GRID_DONE && !slice_equal(buf_slice(out), buf_slice(&again)))
        code = cli_fail(GRID_FAILED, "the two are not the same, and nothing was changed: run it again");
    if (again.data)
        explicit_bzero(again.data, again.size);
    buf_dispose(&again);
    close(fd);
    return code;
}

static int judge(struct cli *cli, struct slice password)
{
    char why[WEAK_PASSWORD_WHY];
    if (password.size == 0)
        return cli_fail(GRID_USAGE, "the password is empty, and nothing was changed: give one, for example of head -c 15 /dev/urandom | base64");
    if (option_flag(cli->options, "weak-password") || !weak_password(password, "", why))
        return GRID_DONE;
    return cli_fail(GRID_USAGE, "the password is too easy to guess: %s; give a better one, or --weak-password", why);
}

static int set(struct cli *cli, struct slice password)
{
    Grid__V1__SetPasswordRequest request = GRID__V1__SET_PASSWORD_REQUEST__INIT;
    request.password = pb_bytes(password);
    request.weak = option_flag(cli->options, "weak-password"); /* judged here, and by the node for those who ask it without this program */
    return node_ask_and_say(cli, "SetPassword", &request.base, &grid__v1__set_password_response__descriptor);
}

static int run(struct cli *cli)
{
    const char *path = option_string(cli->options, "password-file");
    struct buf password;
    buf_init(&password, PASSWORD_MAX);
    int code = path ? read_file(path, &password) : read_terminal(&password);
    if (code == GRID_DONE)
        code = judge(cli, buf_slice(&password));
    if (code == GRID_DONE)
        code = set(cli, buf_slice(&password));
    if (password.data)
        explicit_bzero(password.data, password.size);
    buf_dispose(&password);
    return code;
}

static const struct option_row OPTIONS[] = {
    {.name = "password-file", .kind = OPTION_STRING, .placeholder = "FILE", .help = "take its first line; asked for on the terminal when not given"},
    {.name = "weak-password", .kind = OPTION_FLAG, .help = "take one that is easy to guess"},
};

const struct verb VERB_password = {
    .name = "password",
    .arguments = "",
    .summary = "set the password by which nodes join",
    .details = "The old one opens nothing from then on. Opens joining again after an eviction. Members need not be told: only who joins needs it.",
    .example = "grid password --password-file ./secret",
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
