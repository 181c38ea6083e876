//! Who may say what a device keeps, and until when it holds.

use super::*;
use crate::op::Policy;

const SMALL: Policy = Policy::Cache(1_000_000);

fn says(by: &mut Device, of: DeviceId, policy: Policy) -> Result<(), WriteError> {
    let recorded = by.replica.record_policy(of, policy, by.now)?;
    by.keep(recorded);
    Ok(())
}

/// Writes it whether or not it may, as a device gone bad does.
fn forces(by: &mut Device, of: DeviceId, policy: Policy) {
    let ops = vec![Op::SetPolicy((of, policy))];
    let recorded = by.replica.record_control(ops, by.now).unwrap();
    by.keep(recorded);
}

fn of(device: &Device, whose: &DeviceId) -> Policy {
    device.replica.control().policy(whose)
}

#[test]
fn only_its_own_person_and_admins_say_what_a_device_keeps() {
    let mut anna = founder();
    let mut ben = joins(&mut anna, 2, Some((PersonId([2; 16]), Role::Viewer)));
    pull(&mut ben, &anna);
    let (laptop, phone) = (anna.replica.device(), ben.replica.device());

    let refused = says(&mut ben, laptop, SMALL);
    assert!(
        matches!(refused, Err(WriteError::NotAllowed)),
        "{refused:?}"
    );
    forces(&mut ben, laptop, SMALL);
    says(&mut ben, phone, SMALL).unwrap();
    pull(&mut anna, &ben);
    for each in [&anna, &ben] {
        assert_eq!(of(each, &laptop), Policy::Archive);
        assert_eq!(of(each, &phone), SMALL);
    }

    says(&mut anna, phone, Policy::Archive).unwrap();
    pull(&mut ben, &anna);
    for each in [&anna, &ben] {
        assert_eq!(of(each, &phone), Policy::Archive);
    }
    // Nobody says it of a device that is not of the family.
    let stranger = says(&mut anna, DeviceId([9; 32]), SMALL);
    assert!(matches!(stranger, Err(WriteError::NotAllowed)));
}

#[test]
fn a_policy_of_the_far_future_yields_to_who_has_seen_it() {
    let mut anna = founder();
    let mut phone = joins(&mut anna, 2, None);
    pull(&mut phone, &anna);
    let laptop = anna.replica.device();
    let right = phone.now;
    phone.now.0 += 100 * 365 * 24 * 3600 * 1000;
    says(&mut phone, laptop, SMALL).unwrap();
    phone.now = right;
    pull(&mut anna, &phone);
    assert_eq!(of(&anna, &laptop), SMALL);

    says(&mut anna, laptop, Policy::Archive).unwrap();
    pull(&mut phone, &anna);
    for each in [&anna, &phone] {
        assert_eq!(of(each, &laptop), Policy::Archive);
    }
}

#[test]
fn what_a_removed_device_says_beside_its_removal_does_not_count() {
    let mut anna = founder();
    let mut phone = joins(&mut anna, 2, None);
    pull(&mut phone, &anna);
    let (laptop, thief) = (anna.replica.device(), phone.replica.device());
    let removal = Op::RemoveDevice((thief,));
    let recorded = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng)
        .unwrap();
    anna.keep(recorded);
    says(&mut phone, laptop, SMALL).unwrap();
    assert_eq!(of(&phone, &laptop), SMALL);
    pull(&mut anna, &phone);
    assert_eq!(of(&anna, &laptop), Policy::Archive);
}
