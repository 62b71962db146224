/*
 * saved_state.h - which tensors of a checkpoint a run takes, where other layers are trained than before.
 *
 * Why: fine-tuning trains the head first and then more of the net, in one model directory. The optimizer has no state for a layer that was
 * frozen, and needs none any more for one that is frozen now; both are said. State that is missing for another reason (an
 * option of the optimizer that keeps more of it) is refused.
 * Threads: no state.
 */
#ifndef BD_LEARNING_SAVED_STATE_H
#define BD_LEARNING_SAVED_STATE_H

#include <stddef.h>

#include "common/base/notes.h"
#include "trainer/model/safetensors.h"

/*
 * tensors: parameter_count parameters, then the optimizer's state (optimizer/LAYER/VARIABLE/SLOT). Writes those that are to be read to
 * ret_wanted (room for `count`). State of a variable of which the file has none is left out: it stays as a new optimizer has it. Both
 * differences are told in `notes`, by layer. -ESTALE: a variable has some of its state in the file but not all.
 */
BD_MUST_CHECK int bd_saved_state_choose(const struct bd_safetensors *file, const struct bd_tensor *tensors, size_t parameter_count,
                                        size_t count, struct bd_tensor *ret_wanted, size_t *ret_count, struct bd_notes *notes,
                                        struct bd_error *error);

#endif
