#include "daemon/control/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"

#define LINE_BYTES 2048

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *const journal_prefixes[] = { "<3>", "<4>", "<6>", "<7>" };

static enum bd_log_level shown = BD_LOG_INFO;
static bool to_journal;

/* $JOURNAL_STREAM is "DEVICE:INODE" of the journal's socket; a redirected stderr is another file. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
	       status.st_dev == device && status.st_ino == inode;
}

void bd_log_start(enum bd_log_level fallback, bool quiet)
{
	to_journal = stderr_is_journal();
	const char *wanted = getenv("BATCHD_LOG");
	size_t level = fallback;
	if (wanted && *wanted) {
		for (level = 0; level < BD_COUNT_OF(level_names) && strcmp(wanted, level_names[level]) != 0; level++)
			;
		if (level == BD_COUNT_OF(level_names)) {
			level = fallback;
			bd_log(BD_LOG_WARN, "BATCHD_LOG=%s is none of error, warn, info, debug: using %s", wanted,
			       level_names[level]);
		}
	}
	shown = quiet ? BD_LOG_ERROR : (enum bd_log_level)level;
}

void bd_log(enum bd_log_level level, const char *format, ...)
{
	if (level > shown)
		return;
	char line[LINE_BYTES];
	size_t start = (size_t)snprintf(line, sizeof line, "%s", to_journal ? journal_prefixes[level] : "batchd: ");
	if (!to_journal && level <= BD_LOG_WARN)
		start += (size_t)snprintf(line + start, sizeof line - start, "%s: ", level_names[level]);
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(line + start, sizeof line - start - 1, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	size_t end = start + (size_t)length;
	if (end > sizeof line - 2)
		end = sizeof line - 2;
	for (size_t i = start; i < end; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[end++] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	ssize_t written = write(STDERR_FILENO, line, end);
	(void)written;
}
