/* A few questions, cheapest first. The list is ours: words that people choose, in the form that folding leaves. */
#include "trust/weak_password.h"

#include <stdio.h>

enum { FOLD_MAX = 256, DIGITS_ENOUGH = 20, DIFFERENT_ENOUGH = 5, OTHERS_ENOUGH = 12 };

static const char *const WORDS[] = {
    "password", "passwort", "passwd",   "pass",     "secret",   "admin",   "administrator", "root",     "user",
    "guest",    "test",     "testing",  "demo",     "default",  "welcome", "login",         "letmein",  "changeme",
    "change",   "me",       "master",   "server",   "cluster",  "grid",    "gridcontrol",   "control",  "node",
    "hello",    "world",    "qwerty",   "qwertz",   "azerty",   "asdf",    "asdfgh",        "zxcvbn",   "uiop",
    "ghjkl",    "abc",      "abcd",     "abcdef",   "iloveyou", "love",    "dragon",        "monkey",   "sunshine",
    "princess", "football", "baseball", "superman", "batman",   "trustno", "shadow",        "internet", "computer",
    "linux",    "the",      "my",       "a",        "is",       "this",    "new",           "now",      "one",
    "i",        "l",        "o",        "s",        "e",        "foo",     "bar",           "baz",      "foobar",
    "example",  "correct",  "horse",    "battery",  "staple",   "summer",  "winter",        "spring",   "autumn",
    "monday",   "friday",   "january",  "company",  "access",   "private", "public",        "open",     "close",
    "please",
};
enum { WORD_COUNT = sizeof WORDS / sizeof *WORDS };

static size_t count_characters(struct slice s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.size; i++)
        count += (s.data[i] & 0xc0) != 0x80;
    return count;
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return true;
}

static size_t count_different(struct slice s)
{
    bool seen[256] = {false};
    size_t count = 0;
    for (size_t i = 0; i < s.size; i++) {
        count += !seen[s.data[i]];
        seen[s.data[i]] = true;
    }
    return count;
}

/* Each character next to, or the same as, the one before: "abcdefghijkl", "9876543210". */
static bool is_run(struct slice s)
{
    size_t breaks = 0;
    for (size_t i = 1; i < s.size; i++) {
        int step = s.data[i] - s.data[i - 1];
        breaks += step < -1 || step > 1;
    }
    return breaks <= 2;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* The letter that a character stands for: its lower case, or what "p4$$w0rd" means by it; 0 for one that is passed over. */
static char fold(uint8_t c)
{
    static const char FROM[] = "013457@$!|", TO[] = "oieastasii";
    const char *at = c ? memchr(FROM, c, sizeof FROM - 1) : NULL;
    if (c >= 'A' && c <= 'Z')
        return (char) (c - 'A' + 'a');
    if (is_letter(c))
        return (char) c;
    return at ? TO[at - FROM] : 0;
}

static size_t count_letters(struct slice s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.size; i++)
        count += is_letter(s.data[i]);
    return count;
}

/* Folded text, or only its true letters; what is too long to be judged counts as long enough. */
static size_t fold_all(struct slice s, bool letters_only, char out[FOLD_MAX])
{
    size_t size = 0;
    for (size_t i = 0; i < s.size && size < FOLD_MAX; i++) {
        char folded = letters_only && !is_letter(s.data[i]) ? 0 : fold(s.data[i]);
        if (folded)
            out[size++] = folded;
    }
    return size;
}

static bool ends_with(const char *text, size_t size, const char *word, size_t length)
{
    return length > 0 && length <= size && memcmp(text + size - length, word, length) == 0;
}

/* True when the text can be cut into common words and the name; reachable[i] says that the first i characters can. */
static bool is_made_of_words(const char *text, size_t size, const char *name, size_t name_size)
{
    bool reachable[FOLD_MAX + 1] = {true};
    for (size_t i = 1; i <= size; i++) {
        reachable[i] = ends_with(text, i, name, name_size) && reachable[i - name_size];
        for (size_t w = 0; !reachable[i] && w < WORD_COUNT; w++) {
            size_t length = strlen(WORDS[w]);
            reachable[i] = ends_with(text, i, WORDS[w], length) && reachable[i - length];
        }
    }
    return reachable[size];
}

static bool folds_to_words(struct slice password, const char *grid_name, bool letters_only)
{
    char text[FOLD_MAX], name[FOLD_MAX];
    size_t size = fold_all(password, letters_only, text);
    size_t name_size = fold_all(slice_of_str(grid_name), letters_only, name);
    return size < FOLD_MAX && is_made_of_words(text, size, name, name_size);
}

/* Signs that stand for letters count where there are letters enough; digits and signs between words hide them only when there
 * are many. */
static bool is_common(struct slice password, const char *grid_name)
{
    size_t letters = count_letters(password), others = password.size - letters;
    return (3 * letters >= password.size && folds_to_words(password, grid_name, false)) ||
           (letters > 0 && others < OTHERS_ENOUGH && folds_to_words(password, grid_name, true));
}

bool weak_password(struct slice password, const char *grid_name, char why[WEAK_PASSWORD_WHY])
{
    size_t characters = count_characters(password);
    why[0] = '\0';
    if (characters < WEAK_PASSWORD_LENGTH)
        snprintf(why, WEAK_PASSWORD_WHY, "it has %zu characters, and %d are asked for", characters, WEAK_PASSWORD_LENGTH);
    else if (all_digits(password) && password.size < DIGITS_ENOUGH)
        snprintf(why, WEAK_PASSWORD_WHY, "it is a number of fewer than %d digits", DIGITS_ENOUGH);
    else if (count_different(password) < DIFFERENT_ENOUGH)
        snprintf(why, WEAK_PASSWORD_WHY, "it has hardly any different characters");
    else if (is_run(password))
        snprintf(why, WEAK_PASSWORD_WHY, "its characters only follow one another");
    else if (is_common(password, grid_name))
        snprintf(why, WEAK_PASSWORD_WHY, "it is made of words that are tried first, such as the grid's name");
    return why[0] != '\0';
}
