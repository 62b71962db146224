/*
 * answers.h - the replies to what clients ask: STATUS, STREAMS, METRICS, STATISTICS, QUARANTINE, DATASETS.
 *
 * Lists that do not fit one packet come in pages: ASK.from says how much the client has already. A user sees its own streams; root and the
 * daemon's user see all.
 * Threads: the loop. A session that cannot be sent to is closed inside.
 */
#ifndef BD_CONTROL_ANSWERS_H
#define BD_CONTROL_ANSWERS_H

#include "daemon/control/session.h"

/* As STATUS or as DRAINING. */
BD_MUST_CHECK int bd_answer_status(struct bd_control_session *session, uint16_t type);

void bd_answer_streams(struct bd_control_session *session, const Batchd__Ask *ask);
void bd_answer_metrics(struct bd_control_session *session, const Batchd__Ask *ask);
void bd_answer_statistics(struct bd_control_session *session);
void bd_answer_datasets(struct bd_control_session *session, const Batchd__Ask *ask);
void bd_answer_quarantine(struct bd_control_session *session, const Batchd__Ask *ask);

#endif
