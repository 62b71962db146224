#include "common/base/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/units.h"

#define TERMINAL_INTERVAL_NS (100 * BD_NS_PER_MS) /* faster is flicker */
#define PLAIN_INTERVAL_NS (5 * BD_NS_PER_S) /* a log of an hour stays readable */
#define BAR_CELLS 24
#define BAR_LEAST_CELLS 6 /* a shorter one says nothing: its room is the numbers' */
#define LINE_BYTES 512

struct bd_progress {
	char label[64], unit[24], note[160];
	uint64_t total, before, done, drawn; /* before: of an earlier run; drawn: `done` in the line written last */
	uint64_t begin_ns, drawn_ns;
	bool terminal, colour, on_line;
};

struct bd_progress *bd_progress_create(const char *label, uint64_t total, const char *unit, bool quiet)
{
	if (quiet)
		return NULL;
	struct bd_progress *progress = calloc(1, sizeof *progress);
	if (!progress)
		return NULL;
	snprintf(progress->label, sizeof progress->label, "%s", label);
	snprintf(progress->unit, sizeof progress->unit, "%s", unit);
	progress->total = total;
	progress->begin_ns = progress->drawn_ns = bd_now_ns();
	const char *kind = getenv("TERM");
	progress->terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
	const char *no_colour = getenv("NO_COLOR"); /* no-color.org: set, and not empty */
	progress->colour = progress->terminal && (!no_colour || !*no_colour);
	return progress;
}

/* Eighths of a cell, so that the bar moves smoothly. */
static void draw_bar(const struct bd_progress *progress, unsigned cells, char *out, size_t size)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double share = progress->total ? (double)progress->done / (double)progress->total : 0;
	unsigned filled = (unsigned)((share > 1 ? 1 : share) * cells * 8);
	size_t length = 0;
	for (unsigned cell = 0; cell < cells; cell++) {
		unsigned inside = filled > cell * 8 ? filled - cell * 8 : 0;
		const char *glyph = inside >= 8 ? "█" : inside ? eighths[inside] : " ";
		length += (size_t)snprintf(out + length, size - length, "%s", glyph);
	}
}

/* "17 records", or for bytes "1.5 GiB" */
static void format_amount(const struct bd_progress *progress, double amount, bool with_unit, char *out, size_t size)
{
	if (!strcmp(progress->unit, "bytes"))
		bd_format_size((uint64_t)amount, out, size);
	else
		snprintf(out, size, amount < 10 && amount != (double)(uint64_t)amount ? "%.1f%s%s" : "%.0f%s%s", amount,
		         with_unit ? " " : "", with_unit ? progress->unit : "");
}

static void format_state(const struct bd_progress *progress, uint64_t now, char *out, size_t size)
{
	double seconds = (double)(now - progress->begin_ns) * 1e-9,
	       rate = seconds > 0 ? (double)(progress->done - progress->before) / seconds : 0;
	char rate_text[48], done_text[48], total_text[48], left_text[32] = "";
	format_amount(progress, rate, true, rate_text, sizeof rate_text);
	format_amount(progress, (double)progress->done, !progress->total, done_text, sizeof done_text);
	format_amount(progress, (double)progress->total, true, total_text, sizeof total_text);
	if (progress->total && rate > 0 && progress->done < progress->total)
		bd_format_duration((double)(progress->total - progress->done) / rate, left_text, sizeof left_text);
	else
		bd_format_duration(seconds, left_text, sizeof left_text);
	bool running = progress->total && progress->done < progress->total;
	snprintf(out, size, "%s%s%s  %s/s  %s%s%s%s", done_text, progress->total ? "/" : "", progress->total ? total_text : "",
	         rate_text, running ? "" : "in ", left_text, running ? " left" : "", progress->note[0] ? "  " : "");
	strncat(out, progress->note, size - strlen(out) - 1);
}

static unsigned terminal_columns(void)
{
	struct winsize window;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col : 80;
}

/* Cuts the text to so many columns; its note, which begins at `note`, loses whole parts. */
static void fit(char *text, size_t note, size_t columns)
{
	if (strlen(text) <= columns)
		return;
	size_t end = columns;
	while (end > note && text[end] != ',')
		end--;
	/* Of a note that no part fits of, the two blanks before it go as well. */
	text[end > note ? end : note >= 2 && note - 2 <= columns ? note - 2 : columns] = 0;
}

static void draw(struct bd_progress *progress, uint64_t now)
{
	char state[LINE_BYTES], bar[BAR_CELLS * 4 + 1] = "";
	format_state(progress, now, state, sizeof state);
	progress->drawn_ns = now;
	progress->drawn = progress->done;
	if (!progress->terminal) {
		fprintf(stderr, "%s: %s\n", progress->label, state);
		return;
	}
	unsigned columns = terminal_columns(), fixed = (unsigned)strlen(progress->label) + 2;
	if (columns > fixed)
		fit(state, strlen(state) - strlen(progress->note), columns - fixed - 1);
	/* The numbers come first; the bar, its two ends and a space take what they leave. */
	unsigned taken = fixed + (unsigned)strlen(state) + 4;
	unsigned cells = columns > taken ? columns - taken : 0;
	cells = cells < BAR_CELLS ? cells : BAR_CELLS;
	bool room_for_bar = progress->total && cells >= BAR_LEAST_CELLS;
	if (room_for_bar)
		draw_bar(progress, cells, bar, sizeof bar);
	const char *on = progress->colour ? "\x1b[36m" : "", *off = progress->colour ? "\x1b[0m" : "";
	if (room_for_bar)
		fprintf(stderr, "\r\x1b[K%s  %s▕%s▏%s %s", progress->label, on, bar, off, state);
	else
		fprintf(stderr, "\r\x1b[K%s  %s", progress->label, state);
	fflush(stderr);
	progress->on_line = true;
}

void bd_progress_update(struct bd_progress *progress, uint64_t done, const char *note)
{
	if (!progress)
		return;
	progress->done = done;
	uint64_t now = bd_now_ns();
	if (now - progress->drawn_ns < (progress->terminal ? TERMINAL_INTERVAL_NS : PLAIN_INTERVAL_NS))
		return;
	snprintf(progress->note, sizeof progress->note, "%s", note ? note : "");
	draw(progress, now);
}

void bd_progress_go_on(struct bd_progress *progress, uint64_t done)
{
	if (progress)
		progress->before = progress->done = progress->drawn = done;
}

void bd_progress_set_total(struct bd_progress *progress, uint64_t total)
{
	if (progress)
		progress->total = total;
}

void bd_progress_clear(struct bd_progress *progress)
{
	if (!progress || !progress->on_line)
		return;
	fputs("\r\x1b[K", stderr);
	fflush(stderr);
	progress->on_line = false;
}

void bd_progress_finish(struct bd_progress *progress)
{
	if (!progress)
		return;
	/* A task that never began has no last state; a log needs no line of one that took no time, and none twice. */
	bool anything = progress->terminal ? progress->done > progress->before || progress->on_line
	                                   : progress->done != progress->drawn && bd_now_ns() - progress->begin_ns > BD_NS_PER_S;
	if (anything)
		draw(progress, bd_now_ns());
	if (anything && progress->terminal)
		fputc('\n', stderr);
	free(progress);
}
